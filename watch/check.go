package watch

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// HealthCheck is one check of an instance or of its node. Its Output is as old as the last change of anything else:
// a change of output alone is no change (R3).
type HealthCheck struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Namespace   string `json:",omitempty"`
	Partition   string `json:",omitempty"`
	ExposedPort int
	PeerName    string `json:",omitempty"`
	Definition  HealthCheckDefinition
	CreateIndex uint64
	ModifyIndex uint64
}

// HealthChecks are the checks of an instance and of its node.
type HealthChecks []*HealthCheck

// How the IDs of the checks begin that put a node or an instance into maintenance.
const (
	NodeMaintenance    = "_node_maintenance"
	ServiceMaintenance = "_service_maintenance:"
)

// AggregatedStatus returns the worst status: maintenance, critical, warning, or passing, also where there are no checks. It
// returns "" where a check has a status that Consul does not know.
func (c HealthChecks) AggregatedStatus() string {
	statuses := []string{StatusPassing, StatusWarning, StatusCritical, StatusMaintenance}
	worst := 0
	for _, check := range c {
		severity := 3
		if check.CheckID != NodeMaintenance && !strings.HasPrefix(check.CheckID, ServiceMaintenance) {
			severity = slices.Index(statuses[:3], check.Status)
		}
		if severity < 0 {
			return ""
		}
		worst = max(worst, severity)
	}
	return statuses[worst]
}

// HealthCheckDefinition says how a check is made.
type HealthCheckDefinition struct {
	HTTP          string
	Header        map[string][]string
	Method        string
	Body          string
	TLSServerName string
	TLSSkipVerify bool
	TCP           string
	TCPUseTLS     bool
	UDP           string
	GRPC          string
	OSService     string
	GRPCUseTLS    bool
	SessionName   string `json:",omitempty"`

	Interval                       Duration
	Timeout                        Duration
	DeregisterCriticalServiceAfter Duration
}

// IntervalDuration is Interval under the name that it also has in Consul's API.
func (d HealthCheckDefinition) IntervalDuration() time.Duration { return time.Duration(d.Interval) }

// TimeoutDuration is Timeout under the name that it also has in Consul's API.
func (d HealthCheckDefinition) TimeoutDuration() time.Duration { return time.Duration(d.Timeout) }

// DeregisterCriticalServiceAfterDuration is DeregisterCriticalServiceAfter under the name that it also has in Consul's API.
func (d HealthCheckDefinition) DeregisterCriticalServiceAfterDuration() time.Duration {
	return time.Duration(d.DeregisterCriticalServiceAfter)
}

// MarshalJSON writes the durations first, as texts: toJSON then outputs what consul-template outputs.
func (d *HealthCheckDefinition) MarshalJSON() ([]byte, error) {
	type fields HealthCheckDefinition
	return json.Marshal(struct {
		Interval, Timeout, DeregisterCriticalServiceAfter string
		*fields
	}{d.Interval.String(), d.Timeout.String(), d.DeregisterCriticalServiceAfter.String(), (*fields)(d)})
}

// A Duration is one of Consul's: in JSON a text such as "10s", or a number of nanoseconds.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// Duration returns the same as a duration of Go.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// UnmarshalJSON reads a text or a number.
func (d *Duration) UnmarshalJSON(text []byte) error {
	quoted, isText := strings.CutPrefix(string(text), `"`)
	if isText {
		read, err := time.ParseDuration(strings.TrimSuffix(quoted, `"`))
		*d = Duration(read)
		return err
	}
	var number float64 // null is 0
	err := json.Unmarshal(text, &number)
	*d = Duration(number)
	return err
}
