module judge

go 1.22

require github.com/fuyufjh/splunk-hec-go v0.4.0

require github.com/google/uuid v1.0.0 // indirect
