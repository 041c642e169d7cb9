// The Go baseline: what one writes in an afternoon with the standard library. os.Args[1] is the simulator's
// ready line, os.Args[2] the start (ISO). Every customer has a goroutine; records keep Microsoft's bytes.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

type customer struct {
	TenantID     string `json:"tenant_id"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

type microsoft struct {
	LoginURL  string     `json:"login_url"`
	GraphURL  string     `json:"graph_url"`
	CAFile    string     `json:"ca_file"`
	Customers []customer `json:"customers"`
}

type page struct {
	Value    []json.RawMessage `json:"value"`
	NextLink string            `json:"@odata.nextLink"`
}

type alert struct {
	ID      string    `json:"id"`
	Updated time.Time `json:"lastUpdateDateTime"`
}

// All customers share standard output.
var output sync.Mutex

func main() {
	var service microsoft
	check(json.Unmarshal([]byte(os.Args[1]), &service))
	authority, err := os.ReadFile(service.CAFile)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		MaxIdleConnsPerHost: len(service.Customers),
	}}
	var all sync.WaitGroup
	for _, one := range service.Customers {
		all.Go(func() { collect(client, service, one, os.Args[2]) })
	}
	all.Wait()
}

func collect(client *http.Client, service microsoft, one customer, start string) {
	answer, err := client.PostForm(service.LoginURL+"/"+one.TenantID+"/oauth2/v2.0/token", url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {one.ClientID},
		"client_secret": {one.ClientSecret},
		"scope":         {"https://graph.microsoft.com/.default"},
	})
	check(err)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	check(json.NewDecoder(answer.Body).Decode(&token))
	answer.Body.Close()

	query := url.Values{
		"$filter":  {"lastUpdateDateTime ge " + start},
		"$orderby": {"lastUpdateDateTime"},
		"$top":     {"1000"},
	}
	var batch bytes.Buffer
	for next := service.GraphURL + "/v1.0/security/alerts_v2?" + query.Encode(); next != ""; {
		request, err := http.NewRequest(http.MethodGet, next, nil)
		check(err)
		request.Header.Set("Authorization", "Bearer "+token.AccessToken)
		answer, err := client.Do(request)
		check(err)
		if answer.StatusCode != http.StatusOK {
			log.Fatalf("%s answered %s", next, answer.Status)
		}
		var read page
		check(json.NewDecoder(answer.Body).Decode(&read))
		answer.Body.Close()
		for _, record := range read.Value {
			var head alert
			check(json.Unmarshal(record, &head))
			fmt.Fprintf(&batch, "<event><time>%d.%03d</time><source>defender_mssp:alerts:%s</source><data>",
				head.Updated.Unix(), head.Updated.Nanosecond()/1e6, one.TenantID)
			check(xml.EscapeText(&batch, record))
			batch.WriteString("</data><done/></event>\n")
			if batch.Len() > 256<<10 {
				write(&batch)
			}
		}
		write(&batch)
		next = read.NextLink
	}
}

func write(batch *bytes.Buffer) {
	output.Lock()
	defer output.Unlock()
	_, err := batch.WriteTo(os.Stdout)
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
