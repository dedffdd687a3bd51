package watch

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// The kinds of queries, with the type of a query's value. A nil value means that the name does not exist.
const (
	KindService     = "service"     // instances of the service Name: []*HealthService
	KindServices    = "services"    // all service names with their tags: []*CatalogSnippet
	KindNode        = "node"        // the node Name and its services, "" for the agent's own: *CatalogNode
	KindNodes       = "nodes"       // all nodes: []*Node
	KindDatacenters = "datacenters" // all datacenters: []string
	KindKV          = "kv"          // the value of the key Name: string
	KindPrefix      = "prefix"      // all keys that begin with Name: []*KeyPair
	KindFile        = "file"        // the contents of the file Name: string
	KindPlugin      = "plugin"      // what a program prints, see NewPlugin: string

	KindConnect          = "connect"           // instances that take the service Name's traffic in the mesh: []*HealthService
	KindPartitions       = "partitions"        // all admin partitions: []*Partition
	KindPeerings         = "peerings"          // all peerings: []*Peering
	KindExportedServices = "exported-services" // the services that others can use: []ExportedService
	KindImportedServices = "imported-services" // the services of others that can be used here: []ImportedService
	KindCARoots          = "ca-roots"          // the mesh's root certificates: []*CARoot
	KindCALeaf           = "ca-leaf"           // the certificate of the service Name, with its key: *LeafCert

	KindSecret      = "secret"       // what Vault has at a path, see NewSecret: *Secret
	KindSecrets     = "secrets"      // the names below a path in Vault, see NewSecrets: []string
	KindSecretWrite = "secret-write" // what Vault answers to a write, see NewSecretWrite: *Secret, which is a nil pointer where the answer is empty
	KindPKICert     = "pki-cert"     // a certificate that Vault issues, see NewPKICert: *PKICert

	KindNomadServices = "nomad-services" // all service names of Nomad with their tags: []*NomadSnippet
	KindNomadService  = "nomad-service"  // instances of the service Name of Nomad: []*NomadService
	KindNomadVar      = "nomad-var"      // the variable Name of Nomad: *NomadVar
	KindNomadVars     = "nomad-vars"     // the variables of Nomad whose paths begin with Name: []*NomadVarMeta
)

// The options of a query. Those of the HTTP APIs of Consul and Nomad have the names that they have there.
const (
	OptDatacenter     = "dc"
	OptNear           = "near"
	OptNamespace      = "ns"
	OptPartition      = "partition"
	OptPeer           = "peer"
	OptSamenessGroup  = "sameness-group"
	OptTag            = "tag"             // of an instance: it has all of them
	OptMeta           = "meta"            // of an instance: KEY=VALUE; it has all of them
	OptFilter         = "filter"          // an expression in Consul's language of filters
	OptStatus         = "status"          // which instances of a service: one value for each status, none for passing alone
	OptReachable      = "reachable"       // "true": only the datacenters that answer
	OptAcceptFiltered = "accept-filtered" // "true": an answer counts that lacks what the token may not read
	OptDestination    = "destination"     // of a certificate of Vault: the absolute path of a file that is made of it; one value for each
	OptField          = "field"           // of a certificate of Vault: a field that is used, such as Key; one value for each
	OptRegion         = "region"          // of Nomad
	OptChoose         = "choose"          // of instances of Nomad: COUNT|KEY, those that Nomad chooses for the key
	OptSandbox        = "sandbox"         // of a file: the absolute path of the folder that it has to lie below, or it is not read
)

// OptSecret begins the names of options whose values are secret: Query.String does not show such options.
const OptSecret = "secret."

// The statuses of a service instance, and the filter that lets every instance through.
const (
	StatusPassing     = "passing"
	StatusWarning     = "warning"
	StatusCritical    = "critical"
	StatusMaintenance = "maintenance"
	StatusAny         = "any"
)

// A Query names one piece of data. Equal queries are the same query.
type Query struct {
	Kind string
	Name string
	Opts string // canonical: sorted, without defaults, as NewQuery writes it
}

// NewQuery returns the query of a kind for a name. The caller leaves out options that have their default and sorts
// the values of an option that has several.
func NewQuery(kind, name string, opts url.Values) Query {
	return Query{Kind: kind, Name: name, Opts: opts.Encode()}
}

// Options returns the query's options. They can be read by several goroutines, but not changed.
func (q Query) Options() url.Values {
	opts, err := url.ParseQuery(q.Opts)
	if err != nil {
		panic("watch: the options of a query of the kind " + q.Kind + " are not as NewQuery writes them")
	}
	return opts
}

// The options of KindPlugin, of which a query has one. Only NewPlugin and Plugin use them.
const (
	optArgv      = OptSecret + "argv"
	optQuietArgv = OptSecret + "argv.quiet"
)

// NewPlugin returns the query for what a program prints. Display is how people see the program: it becomes the query's Name.
// Argv is the program, then its arguments; they may be the values of keys. With quiet, an error must not repeat argv or what
// the program prints: something in argv does not come from the template's text.
func NewPlugin(display string, argv []string, quiet bool) Query {
	option := optArgv
	if quiet {
		option = optQuietArgv
	}
	return NewQuery(KindPlugin, display, url.Values{option: argv})
}

// Plugin returns what NewPlugin was given. The argv of a query of another kind is nil.
func (q Query) Plugin() (argv []string, quiet bool) {
	if q.Kind != KindPlugin {
		return nil, false
	}
	opts := q.Options()
	if argv, quiet = opts[optQuietArgv]; quiet {
		return argv, true
	}
	return opts[optArgv], false
}

// Secret reports whether the answer to the query, or one of its options, is secret: what is made of it is shown to nobody who may not read
// the file.
func (q Query) Secret() bool { return q.SecretAnswer() || strings.Contains(q.Opts, OptSecret) }

// SecretAnswer reports whether the answer to the query is secret.
func (q Query) SecretAnswer() bool {
	switch q.Kind {
	case KindCALeaf, KindSecret, KindSecretWrite, KindPKICert, KindNomadVar:
		return true
	}
	return false
}

const maxShown = 200 // bytes of a name, and of the options, that String shows

// String returns the query as logs and errors show it: "service web", "kv app/port (dc=dc2)". It never shows an option that
// is secret, such as the arguments of a program. Names and options of more than 200 bytes are shortened; those that differ
// still differ.
func (q Query) String() string {
	s := q.Kind
	if q.Name != "" {
		s += " " + Shorten(q.Name)
	}
	if opts := withoutSecrets(q.Opts); opts != "" {
		s += " (" + Shorten(opts) + ")"
	}
	return s
}

// withoutSecrets returns options as they are written in a Query, without those that are secret.
func withoutSecrets(opts string) string {
	if !strings.Contains(opts, OptSecret) {
		return opts
	}
	shown := slices.DeleteFunc(strings.Split(opts, "&"), func(option string) bool { return strings.HasPrefix(option, OptSecret) })
	return strings.Join(shown, "&")
}

// Shorten returns a text of at most maxShown bytes. In place of the remainder stands a checksum of the whole text.
func Shorten(text string) string {
	if len(text) <= maxShown {
		return text
	}
	end := fmt.Sprintf("…%x", sha256.Sum256([]byte(text)))[:len("…")+12]

	cut := maxShown - len(end)
	for i := range utf8.UTFMax { // a text that is not UTF-8 is cut anywhere
		if utf8.RuneStart(text[cut-i]) {
			cut -= i
			break
		}
	}
	return text[:cut] + end
}
