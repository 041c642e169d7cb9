// Sends events to the fake HEC with a client that knows nothing of this project, and waits until all of them are acknowledged:
// what the fake answers is then what somebody else's reading of Splunk's documentation expects, too.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strconv"

	hec "github.com/fuyufjh/splunk-hec-go"
)

const perBatch = 250

func main() {
	if len(os.Args) != 4 {
		fail("usage: judge URL CA_FILE COUNT; the token comes from HEC_TOKEN")
	}
	count, err := strconv.Atoi(os.Args[3])
	check(err)
	ca, err := os.ReadFile(os.Args[2])
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := hec.NewClient(os.Args[1], os.Getenv("HEC_TOKEN"))
	client.SetHTTPClient(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}})
	for from := 0; from < count; from += perBatch {
		var batch []*hec.Event
		for i := from; i < from+perBatch && i < count; i++ {
			event := hec.NewEvent(map[string]any{"number": i, "text": "{\"quoted\": \"}{\\\"\"}"})
			event.SetSourceType("judge")
			batch = append(batch, event)
		}
		check(client.WriteBatch(batch))
	}
	check(client.WaitForAcknowledgement())
	fmt.Printf("%d acknowledged\n", count)
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
