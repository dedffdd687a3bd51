package watch

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The types below are what templates see: plain values whose names templates and toJSON rely on.

// HealthService is one instance of a service, with its checks.
type HealthService struct {
	Node                   string
	NodeID                 string
	NodeAddress            string
	NodeTaggedAddresses    map[string]string
	NodeMeta               map[string]string
	ServiceMeta            map[string]string
	Address                string // the instance's own address or, where it has none, its node's
	ServiceTaggedAddresses map[string]ServiceAddress
	ID                     string
	Name                   string
	Tags                   ServiceTags
	Checks                 HealthChecks
	Status                 string // the worst of Checks; "" where a check has a status that Consul does not know
	Port                   int
	Weights                ServiceWeights
}

// ServiceAddress is one of the addresses under which an instance can be reached.
type ServiceAddress struct {
	Address string
	Port    int
}

// ServiceWeights says how much traffic an instance wants, by its status.
type ServiceWeights struct {
	Passing int
	Warning int
}

// ServiceTags is a sorted list of tags.
type ServiceTags []string

// Contains reports whether tag is one of the tags.
func (t ServiceTags) Contains(tag string) bool { return slices.Contains(t, tag) }

// KeyPair is one key below a prefix.
type KeyPair struct {
	Path        string // the whole key
	Key         string // the key without the prefix of the query, and without slashes at its beginning
	Value       string
	CreateIndex uint64
	ModifyIndex uint64
	LockIndex   uint64
	Flags       uint64
	Session     string
}

// Node is one node of the catalog.
type Node struct {
	ID              string
	Node            string
	Address         string
	Datacenter      string
	TaggedAddresses map[string]string
	Meta            map[string]string
}

// CatalogNode is a node with the services that run on it. Node is nil where the catalog has no such node.
type CatalogNode struct {
	Node     *Node
	Services []*CatalogNodeService
}

// CatalogNodeService is one service of a node.
type CatalogNodeService struct {
	ID                string
	Service           string
	Tags              ServiceTags
	Meta              map[string]string
	Port              int
	Address           string // as registered: may be empty
	EnableTagOverride bool
}

// CatalogSnippet is the name of a service and all tags that its instances have.
type CatalogSnippet struct {
	Name string
	Tags ServiceTags
}

// Partition is an admin partition.
type Partition struct {
	Name        string
	Description string
}

// Peering is a connection to another cluster.
type Peering struct {
	ID                  string
	Name                string
	Partition           string
	Meta                map[string]string
	PeeringState        string
	PeerID              string
	PeerServerName      string
	PeerServerAddresses []string
	StreamStatus        PeeringStreamStatus
	Remote              PeeringRemote
}

// PeeringStreamStatus says what goes over a peering. The times are as old as the last change of anything else: a change of
// them alone is no change (R3).
type PeeringStreamStatus struct {
	ImportedServices []string
	ExportedServices []string
	LastHeartbeat    *time.Time
	LastReceive      *time.Time
	LastSend         *time.Time
}

// PeeringRemote is the other end of a peering.
type PeeringRemote struct {
	Partition  string
	Datacenter string
}

// ExportedService is a service that others can use. Partition and Namespace are empty, as they are in consul-template.
type ExportedService struct {
	Service   string
	Partition string
	Namespace string
	Consumers ServiceConsumers
}

// ServiceConsumers are those who can use an exported service. The lists are not nil.
type ServiceConsumers struct {
	Peers      []string
	Partitions []string
}

// ImportedService is a service of another partition or cluster that can be used here.
type ImportedService struct {
	Service         string
	Namespace       string
	SourcePartition string
}

// CARoot is a root certificate of the service mesh.
type CARoot struct {
	ID            string
	Name          string
	RootCertPEM   string `json:"RootCert"`
	Active        bool
	NotBefore     *time.Time `json:",omitempty"`
	NotAfter      *time.Time `json:",omitempty"`
	DaysRemaining *int       `json:",omitempty"`
	CreateIndex   uint64
	ModifyIndex   uint64
}

// LeafCert is the certificate of a service in the mesh, with its private key.
type LeafCert struct {
	SerialNumber  string
	CertPEM       string `json:",omitempty"`
	PrivateKeyPEM string `json:",omitempty"`
	Service       string
	ServiceURI    string
	ValidAfter    time.Time
	ValidBefore   time.Time
	CreateIndex   uint64
	ModifyIndex   uint64
}

// NewKeyPair returns the pair of a key that was found below prefix, without its indexes.
func NewKeyPair(prefix, path, value string) KeyPair {
	return KeyPair{
		Path:  path,
		Key:   strings.TrimLeft(strings.TrimPrefix(path, prefix), "/"),
		Value: value,
	}
}

// SortedTags returns a sorted copy, which is not nil.
func SortedTags(tags []string) ServiceTags {
	sorted := append(ServiceTags{}, tags...)
	slices.Sort(sorted)
	return sorted
}

// KeepInstances keeps the instances that the options of a query select. It uses up the list.
func KeepInstances(list []*HealthService, opts url.Values) []*HealthService {
	return keepMeta(keepTags(keepStatus(list, opts[OptStatus]), opts[OptTag]), opts[OptMeta])
}

// keepStatus keeps the instances with the statuses of a service query.
func keepStatus(list []*HealthService, statuses []string) []*HealthService {
	if len(statuses) == 0 {
		statuses = []string{StatusPassing}
	}
	if slices.Contains(statuses, StatusAny) {
		return list
	}
	return slices.DeleteFunc(list, func(s *HealthService) bool { return !slices.Contains(statuses, s.Status) })
}

// keepTags keeps the instances that have all of some tags. Like Consul it does not regard case.
func keepTags(list []*HealthService, tags []string) []*HealthService {
	return slices.DeleteFunc(list, func(s *HealthService) bool {
		return slices.ContainsFunc(tags, func(tag string) bool {
			return !slices.ContainsFunc(s.Tags, func(t string) bool { return strings.EqualFold(t, tag) })
		})
	})
}

// keepMeta keeps the instances that have all of some meta data, each a KEY=VALUE.
func keepMeta(list []*HealthService, meta []string) []*HealthService {
	return slices.DeleteFunc(list, func(s *HealthService) bool {
		return slices.ContainsFunc(meta, func(pair string) bool {
			key, wanted, _ := strings.Cut(pair, "=")
			value, has := s.ServiceMeta[key]
			return !has || value != wanted
		})
	})
}

// SortInstances sorts a list by node, then by instance ID.
func SortInstances(list []*HealthService) {
	slices.SortStableFunc(list, func(a, b *HealthService) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID))
	})
}

// SortNodes sorts a list by name, then by address.
func SortNodes(list []*Node) {
	slices.SortStableFunc(list, func(a, b *Node) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Address, b.Address))
	})
}

// SortNodeServices sorts a list by service, then by instance ID.
func SortNodeServices(list []*CatalogNodeService) {
	slices.SortStableFunc(list, func(a, b *CatalogNodeService) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.ID, b.ID))
	})
}
