package template

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"render/watch"
)

// Dropped is an instance that hostport left out.
type Dropped struct {
	ID, Node string // empty where hostport was given an address and a port
	Reason   string // why, without the value
}

// hostport returns the ADDRESS:PORT of an instance, or of an address and a port. Whoever registers an instance chooses
// both, so what is not an address or not a port gives nothing and is noted: it must not take the other instances down.
func (p *pass) hostport(of any, port ...any) (string, error) {
	switch of := of.(type) {
	case *watch.HealthService:
		if len(port) == 0 {
			return p.keepOrDrop(of.Address, of.Port, Dropped{ID: of.ID, Node: of.Node}), nil
		}
	case string:
		if len(port) == 1 {
			return p.keepOrDrop(of, port[0], Dropped{}), nil
		}
	}
	return "", &funcError{"hostport", errors.New("takes an instance of a service, or an address and a port")}
}

func (p *pass) keepOrDrop(address string, port any, d Dropped) string {
	n, err := strconv.ParseUint(fmt.Sprint(port), 10, 16)
	ip, notIP := netip.ParseAddr(address)
	switch {
	case err != nil || n == 0:
		d.Reason = "the port is not a number from 1 to 65535"
	case notIP == nil && ip.Zone() == "":
		return netip.AddrPortFrom(ip, uint16(n)).String()
	case notIP != nil && isHostName(address):
		return address + ":" + strconv.FormatUint(n, 10)
	default:
		d.Reason = "the address is neither an IP address nor a host name"
	}
	p.result.Dropped = append(p.result.Dropped, d)
	return ""
}

var (
	// hostName matches the labels of RFC 1123, and underscores, which Docker and others have in names.
	hostName = regexp.MustCompile(`^(?:\w(?:[\w-]{0,61}\w)?\.)*\w(?:[\w-]{0,61}\w)?\.?$`)
	// endsInNumber matches what C libraries read as an IPv4 address in one of its older forms, such as 127.1 or 0x7f000001.
	endsInNumber = regexp.MustCompile(`(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$`)
)

// isHostName reports whether a text is a host name. The name unix is not: nginx takes unix:80 for the path of a socket.
func isHostName(s string) bool {
	return len(s) <= 253 && hostName.MatchString(s) && !endsInNumber.MatchString(s) && !strings.EqualFold(s, "unix")
}

// safeFuncs are the functions that make a value one token of a format, which its parser reads as that value again.
var safeFuncs = map[string]any{
	"haproxyQuote": quoter("haproxyQuote", haproxyQuote),
	"jsonQuote":    quoter("jsonQuote", doubleQuote),
	"nginxQuote":   quoter("nginxQuote", nginxQuote),
	"shellQuote":   quoter("shellQuote", shellQuote),
	"tomlQuote":    quoter("tomlQuote", doubleQuote),
	"yamlQuote":    quoter("yamlQuote", doubleQuote),
}

// quoter makes a function of a template from one that quotes a text. An error of quote must not repeat the text.
func quoter(name string, quote func(string) (string, error)) func(any) (string, error) {
	return func(v any) (string, error) {
		if k := reflect.ValueOf(v).Kind(); k != reflect.String && (k < reflect.Bool || k > reflect.Float64) {
			return "", &funcError{name, fmt.Errorf("takes a text, a number or a bool, not a %T", v)}
		}
		token, err := quote(fmt.Sprint(v))
		if err != nil {
			return "", &funcError{name, err}
		}
		return token, nil
	}
}

var errNUL = errors.New("the text has a NUL byte, which cannot be written here")

const maxNginxToken = 4096 // the buffer that nginx reads its configuration with

var nginxEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func nginxQuote(s string) (string, error) {
	token := `"` + nginxEscapes.Replace(s) + `"`
	switch {
	case strings.Contains(s, "\x00"):
		return "", errNUL
	case strings.Contains(s, "$"): // many directives expand it inside of quotes, too
		return "", errors.New("the text has a $, which nginx takes for a variable and has no escape for")
	case len(token) > maxNginxToken:
		return "", fmt.Errorf("the text is too long for nginx, which takes %d bytes with quotes and escapes", maxNginxToken)
	}
	return token, nil
}

// In single quotes HAProxy takes all as it is, but a line cannot go on in the next. Escapes are for outside of quotes.
var haproxyEscapes = strings.NewReplacer(`'`, `'\''`, "\n", `'\n'`, "\r", `'\r'`)

func haproxyQuote(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("the text is empty, which HAProxy takes for the end of the line")
	case strings.Contains(s, "\x00"):
		return "", errNUL
	case strings.Contains(s, "%"): // %[env(NAME)] in the value of a header, for example; %% is two signs elsewhere
		return "", errors.New("the text has a %, which HAProxy takes for a variable in many places and has no escape for that fits all")
	}
	return `'` + haproxyEscapes.Replace(s) + `'`, nil
}

func shellQuote(s string) (string, error) {
	if strings.Contains(s, "\x00") {
		return "", errNUL
	}
	return `'` + strings.ReplaceAll(s, `'`, `'\''`) + `'`, nil
}

// doubleQuote keeps to what JSON, YAML and TOML all read alike. They have no common escape for what is beyond \uffff,
// and none of them needs one there.
func doubleQuote(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("the text is not valid UTF-8")
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r > 0xffff || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String(), nil
}
