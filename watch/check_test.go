package watch

import (
	"encoding/json"
	"strings"
	"testing"
	"text/template"

	"github.com/hashicorp/consul/api"
	fastjson "github.com/segmentio/encoding/json"
)

// Checks as Consul writes them, or may write them.
var checkTexts = []string{
	`{}`,
	`{"Node":"n1","CheckID":"service:web-1","Name":"Service 'web' check","Status":"passing","Notes":"note","Output":"<ok>","ServiceID":"web-1",
		"ServiceName":"web","ServiceTags":["b","a"],"Type":"http","Interval":"10s","Timeout":"1s","ExposedPort":7,"Definition":{},"CreateIndex":12,"ModifyIndex":18446744073709551615}`,
	`{"Namespace":"ns","Partition":"p","PeerName":"peer","ServiceTags":[],"Definition":{"Interval":"1m10s","Timeout":"1.5s","DeregisterCriticalServiceAfter":"0s"}}`,
	`{"Definition":{"HTTP":"http://x/<y>","Header":{"A":["b","c"]},"Method":"GET","Body":"{}","TLSServerName":"t","TLSSkipVerify":true,"TCP":"1:2","TCPUseTLS":true,
		"UDP":"3:4","GRPC":"5:6/x","OSService":"os","GRPCUseTLS":true,"SessionName":"s","Interval":"10s","Unknown":1}}`,
	`{"Definition":{"Interval":5000000000,"Timeout":0,"DeregisterCriticalServiceAfter":1.5e9,"Header":{}}}`,
	`{"CheckID":"_node_maintenance","Status":"critical","ServiceTags":null}`,
}

// A check reads as Consul's own library reads it, is written by toJSON to the same bytes, and shows templates the same.
func TestChecksAreConsuls(t *testing.T) {
	shown := template.Must(template.New("").Parse(`{{range .}}{{.CheckID}} {{.Status}} {{.ServiceTags}} {{.Definition.HTTP}} {{.Definition.Header}}
		{{.Definition.Interval}} {{.Definition.Interval.Duration.Seconds}} {{.Definition.IntervalDuration}} {{.Definition.TimeoutDuration}}
		{{.Definition.DeregisterCriticalServiceAfterDuration}} {{.Definition.SessionName}} {{.ModifyIndex}}{{end}}{{.AggregatedStatus}}`))
	show := func(checks any) string {
		var out strings.Builder
		if err := shown.Execute(&out, checks); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, text := range checkTexts {
		text = "[" + text + "]"
		var theirs api.HealthChecks
		if err := json.Unmarshal([]byte(text), &theirs); err != nil {
			t.Fatal(err)
		}
		for name, decode := range map[string]func([]byte, any) error{"encoding/json": json.Unmarshal, "segmentio": fastjson.Unmarshal} {
			var ours HealthChecks
			if err := decode([]byte(text), &ours); err != nil {
				t.Fatalf("%s: %s: %v", name, text, err)
			}
			for what, pair := range map[string][2]string{
				"list":       {written(ours), written(theirs)},
				"check":      {written(*ours[0]), written(*theirs[0])},
				"definition": {written(&ours[0].Definition), written(&theirs[0].Definition)},
				"copy of it": {written(ours[0].Definition), written(theirs[0].Definition)},
				"shown":      {show(ours), show(theirs)},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s, %s of %s:\ngot  %s\nwant %s", name, what, text, pair[0], pair[1])
				}
			}
		}
	}
}

// What is no check of Consul's is an error, or an empty check.
func TestChecksOfOthers(t *testing.T) {
	for _, text := range []string{`"10"`, `"x"`, `""`, `true`, `{}`, `[]`} {
		if err := fastjson.Unmarshal([]byte(`{"Interval":`+text+`}`), new(HealthCheckDefinition)); err == nil {
			t.Errorf("%s is a duration", text)
		}
	}
	var checks HealthChecks
	text := `[{"Definition":null},{"Definition":{"Interval":null}}]`
	if err := fastjson.Unmarshal([]byte(text), &checks); err != nil || checks[0].Definition.Interval != 0 || checks[1].Definition.Interval != 0 {
		t.Errorf("got %s, %v", written(checks), err)
	}
}

// The status of an instance is the one that Consul's own library makes of its checks.
func TestAggregatedStatus(t *testing.T) {
	var all []api.HealthCheck
	for _, id := range []string{"c", api.NodeMaint, api.ServiceMaintPrefix + "web-1", "x" + api.NodeMaint} {
		for _, status := range []string{"passing", "warning", "critical", "maintenance", "strange", ""} {
			all = append(all, api.HealthCheck{CheckID: id, Status: status})
		}
	}
	seen := make(map[string]bool)
	for i := range all {
		for j := range all {
			for n := range 4 {
				theirs := api.HealthChecks{&all[i], &all[j], &all[(i+j)%len(all)]}[:n]
				var ours HealthChecks
				for _, c := range theirs {
					ours = append(ours, &HealthCheck{CheckID: c.CheckID, Status: c.Status})
				}
				got, want := ours.AggregatedStatus(), theirs.AggregatedStatus()
				if got != want {
					t.Errorf("%v: got %q, want %q", written(ours), got, want)
				}
				seen[want] = true
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("only the statuses %v were seen", seen)
	}
}

func written(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

// The other types of Consul's library that are ours are read, and written, as they are there.
func TestCertificatesAreConsuls(t *testing.T) {
	for _, c := range []struct {
		text         string
		ours, theirs any
	}{
		{`{"ID":"r","Name":"n","RootCert":"pem","Active":true,"NotBefore":"2026-01-02T03:04:05Z","NotAfter":"2027-01-02T03:04:05+01:00","DaysRemaining":3,"CreateIndex":1,"ModifyIndex":2,"Other":1}`, new(CARoot), new(api.CARoot)},
		{`{}`, new(CARoot), new(api.CARoot)},
		{`{"SerialNumber":"09","CertPEM":"c","PrivateKeyPEM":"k","Service":"web","ServiceURI":"spiffe://x","ValidAfter":"2026-01-02T03:04:05Z","ValidBefore":"2026-01-05T03:04:05Z","CreateIndex":1,"ModifyIndex":2}`, new(LeafCert), new(api.LeafCert)},
		{`{}`, new(LeafCert), new(api.LeafCert)},
	} {
		if err := fastjson.Unmarshal([]byte(c.text), c.ours); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.text), c.theirs); err != nil {
			t.Fatal(err)
		}
		if got, want := written(c.ours), written(c.theirs); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func BenchmarkDecodeChecks(b *testing.B) {
	text := []byte("[" + checkTexts[3] + strings.Repeat(","+checkTexts[1], 9) + "]")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var checks HealthChecks
		if err := fastjson.Unmarshal(text, &checks); err != nil {
			b.Fatal(err)
		}
	}
}
