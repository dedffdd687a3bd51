package config

import (
	"fmt"
	"io/fs"
	"reflect"
	"sync"
	"syscall"
	"time"

	"render/cmd/render/config/nomadblock"
	"render/cmd/render/config/server"
	"render/cmd/render/config/vaultblock"
	"render/render/run"
)

// The values of settings, by block. A tag is the key, or the block that the fields of a struct are in. A setting without a field has no
// effect of its own: it stands for others, or is accepted only.

// globals are the settings at the top of files.
type globals struct {
	Fixture        string         `key:"fixture"`
	Once           bool           `key:"once"`
	Timeout        time.Duration  `key:"timeout"`
	FailAbsent     bool           `key:"err_on_failed_lookup"`
	Dry            bool           `key:"dry"`
	ParseOnly      bool           `key:"parse_only"`
	WatchTemplates bool           `key:"watch_templates"`
	WatchConfig    bool           `key:"watch_config"`
	ReloadSignal   syscall.Signal `key:"reload_signal"`
	KillSignal     syscall.Signal `key:"kill_signal"`
	PIDFile        string         `key:"pid_file"`

	LogLevel  string `key:"log_level"`
	LogFormat string `key:"log_format"`
	LogFile   struct {
		Path           string        `key:"path"`
		RotateBytes    int           `key:"log_rotate_bytes"`
		RotateDuration time.Duration `key:"log_rotate_duration"`
		MaxFiles       int           `key:"log_rotate_max_files"`
	} `key:"log_file"`
	Syslog struct {
		Enabled  bool   `key:"enabled"`
		Facility string `key:"facility"`
		Name     string `key:"name"`
	} `key:"syslog"`

	Listen struct {
		Addresses []string    `key:"address"`
		Mode      fs.FileMode `key:"mode"`
		Cert      string      `key:"cert"`
		Key       string      `key:"key"`
		TokenFile string      `key:"token_file"`
		Hosts     []string    `key:"hosts"`
		Insecure  bool        `key:"insecure"`
	} `key:"listen"`

	Exec struct {
		Command      run.Command    `key:"command"`
		Enabled      bool           `key:"enabled"`
		ReloadSignal syscall.Signal `key:"reload_signal"`
		KillSignal   syscall.Signal `key:"kill_signal"`
		KillTimeout  time.Duration  `key:"kill_timeout"`
		Splay        time.Duration  `key:"splay"`
		Env          environment    `key:"env"`
	} `key:"exec"`

	Consul         consulFields      `key:"consul"`
	MaxStale       time.Duration     `key:"max_stale"`
	BlockQueryWait time.Duration     `key:"block_query_wait"`
	Vault          vaultblock.Fields `key:"vault"`
	Nomad          nomadblock.Fields `key:"nomad"`

	FunctionDenylist []string `key:"function_denylist"`
}

type consulFields struct {
	Address   string `key:"address"`
	Token     string `key:"token"`
	TokenFile string `key:"token_file"`
	Auth      struct {
		Enabled  bool   `key:"enabled"`
		Username string `key:"username"`
		Password string `key:"password"`
	} `key:"auth"`
	Namespace      string           `key:"namespace"`
	Partition      string           `key:"partition"`
	MaxConnections int              `key:"max_connections"`
	MaxRequests    int              `key:"max_requests"`
	ACLFiltered    string           `key:"acl_filtered"`
	Retry          server.Retry     `key:"retry"`
	SSL            server.SSL       `key:"ssl"`
	Transport      server.Transport `key:"transport"`
}

// templateFields are the settings of a template block.
type templateFields struct {
	Source      string      `key:"source"`
	Contents    string      `key:"contents"`
	Destination string      `key:"destination"`
	Command     run.Command `key:"command"`
	Action      string      `key:"action"`

	LeftDelimiter     string   `key:"left_delimiter"`
	RightDelimiter    string   `key:"right_delimiter"`
	Partials          []string `key:"partials"`
	TrimBlocks        bool     `key:"trim_blocks"`
	ErrorOnMissingKey bool     `key:"error_on_missing_key"`
	FunctionDenylist  []string `key:"function_denylist"`
	SandboxPath       string   `key:"sandbox_path"`
	Untrusted         bool     `key:"untrusted"`
	MaxOutput         int      `key:"max_output"`

	Perms          fs.FileMode `key:"perms"`
	User           string      `key:"user"`
	Group          string      `key:"group"`
	UID            int         `key:"uid"`
	GID            int         `key:"gid"`
	Backup         bool        `key:"backup"`
	CreateDestDirs bool        `key:"create_dest_dirs"`
	Links          string      `key:"links"`
	Drift          string      `key:"drift"`

	Exec struct {
		Command run.Command   `key:"command"`
		Enabled bool          `key:"enabled"`
		Timeout time.Duration `key:"timeout"`
		Splay   time.Duration `key:"splay"`
		Env     environment   `key:"env"`
	} `key:"exec"`
	RemoveDelay time.Duration `key:"remove_delay"`

	Shared shared
}

// actionFields are the settings of an action block.
type actionFields struct {
	Command run.Command   `key:"command"`
	Timeout time.Duration `key:"timeout"`
	Splay   time.Duration `key:"splay"`
	Env     environment   `key:"env"`

	Shared shared
}

// shared are the settings that templates and actions have under the same keys.
type shared struct {
	Check  run.Command `key:"check"`
	Signal run.Signal  `key:"signal"`
	Verify struct {
		Command run.Command   `key:"command"`
		URL     string        `key:"url"`
		Status  int           `key:"status"`
		Within  time.Duration `key:"within"`
	} `key:"verify"`
	Atomic bool `key:"atomic"`
	Wait   struct {
		Min     time.Duration `key:"min"`
		Max     time.Duration `key:"max"`
		Enabled bool          `key:"enabled"`
	} `key:"wait"`
	Spacing time.Duration `key:"spacing"`
	Guard   struct {
		Min     int           `key:"min"`
		MaxDrop float64       `key:"max_drop"`
		Hold    time.Duration `key:"hold"`
		Then    string        `key:"then"`
	} `key:"guard"`
}

type environment struct {
	Pristine bool     `key:"pristine"`
	Custom   []string `key:"custom"`
	Allow    []string `key:"allowlist"`
	Deny     []string `key:"denylist"`
}

func (e environment) env() run.Env {
	return run.Env{Pristine: e.Pristine, Custom: e.Custom, Allow: e.Allow, Deny: e.Deny}
}

// A field is where a struct has the value of a setting.
type field struct {
	setting *Setting
	index   []int
	offset  uintptr
}

// fieldsOf returns the fields of a struct, with the settings that they have the values of.
func fieldsOf(t reflect.Type, s *schema) []field {
	var all []field
	var walk func(t reflect.Type, prefix string, outer []int, offset uintptr)
	walk = func(t reflect.Type, prefix string, outer []int, offset uintptr) {
		for i := range t.NumField() {
			f := t.Field(i)
			key, index := prefix+f.Tag.Get("key"), append(outer[:len(outer):len(outer)], i)
			switch setting := s.settings[key]; {
			case setting != nil && setting.spread == nil:
				all = append(all, field{setting, index, offset + f.Offset})
			case f.Type.Kind() == reflect.Struct && f.Tag == "":
				walk(f.Type, prefix, index, offset+f.Offset)
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, key+".", index, offset+f.Offset)
			default:
				panic(fmt.Sprintf("there is no setting %s %s", s.block, key))
			}
		}
	}
	walk(t, "", nil, 0)
	return all
}

// A layout is what the values of a block look like: where they are, and the defaults.
type layout struct {
	fields   []field
	byOffset map[uintptr]string // keys
	defaults reflect.Value
}

func newLayout(zero any, s *schema) *layout {
	t := reflect.TypeOf(zero)
	l := &layout{fields: fieldsOf(t, s), byOffset: make(map[uintptr]string), defaults: reflect.New(t).Elem()}
	for _, f := range l.fields {
		l.byOffset[f.offset] = f.setting.Key
		if f.setting.Default == "" {
			continue
		}
		value, err := f.setting.kind.parse(f.setting.Default)
		if err != nil {
			panic(fmt.Sprintf("default of %s: %v", f.setting.Key, err))
		}
		l.defaults.FieldByIndex(f.index).Set(reflect.ValueOf(value))
	}
	return l
}

var (
	globalLayout   = sync.OnceValue(func() *layout { return newLayout(globals{}, topSchema) })
	templateLayout = sync.OnceValue(func() *layout { return newLayout(templateFields{}, templateSchema) })
	actionLayout   = sync.OnceValue(func() *layout { return newLayout(actionFields{}, actionSchema) })
)

// fill sets the fields of a struct, to which a pointer is given: to what was set, here or at the base, or to the default. From then on the
// values know their settings by pointers to the fields.
func (v *values) fill(l *layout, pointer any) {
	all := reflect.ValueOf(pointer).Elem()
	all.Set(l.defaults)
	for _, f := range l.fields {
		if g, ok := v.find(f.setting.Key); ok {
			all.FieldByIndex(f.index).Set(reflect.ValueOf(g.value))
		}
	}
	v.layout, v.start = l, reflect.ValueOf(pointer).Pointer()
}

// key returns the key of the setting whose value a field has, to which a pointer is given.
func (v *values) key(field any) string {
	key, ok := v.layout.byOffset[reflect.ValueOf(field).Pointer()-v.start]
	if !ok {
		panic(fmt.Sprintf("a %T is no field of the values of %q", field, v.schema.block))
	}
	return key
}
