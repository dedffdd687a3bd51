package template

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"render/template/funcs"
	"render/watch"
)

// Dropped is an instance that hostport left out.
type Dropped struct {
	ID, Node string // empty where hostport was given an address and a port, or the name of a query is made of a secret
	Reason   string // why, without the value
}

// hostport returns the ADDRESS:PORT of an instance, or of an address and a port. Whoever registers an instance chooses
// both, so what is not an address or not a port gives nothing and is noted: it must not take the other instances down.
func (p *pass) hostport(of any, port ...any) (string, error) {
	switch of := of.(type) {
	case *watch.HealthService:
		if len(port) == 0 {
			return p.keepOrDrop(of.Address, of.Port, Dropped{ID: of.ID, Node: of.Node})
		}
	case *watch.NomadService:
		if len(port) == 0 {
			return p.keepOrDrop(of.Address, of.Port, Dropped{ID: of.ID, Node: of.Node})
		}
	case string:
		if len(port) == 1 {
			return p.keepOrDrop(of, portNumber(port[0]), Dropped{})
		}
	}
	return "", funcs.Wrap("hostport", errors.New("needs an instance of a service, or an address and a port"))
}

// portNumber returns a port that is a number or a text, and 0 where it is neither.
func portNumber(port any) int {
	if number, ok := port.(int); ok {
		return number
	}
	if k := reflect.ValueOf(port).Kind(); k == reflect.String || k >= reflect.Bool && k <= reflect.Float64 {
		if n, err := strconv.ParseUint(fmt.Sprint(port), 10, 16); err == nil {
			return int(n)
		}
	}
	return 0
}

// droppedSize is how many bytes of memory a Dropped takes, with what a list of them has to spare.
const droppedSize = 96

func (p *pass) keepOrDrop(address string, number int, d Dropped) (string, error) {
	ip, notIP := netip.ParseAddr(address)
	switch {
	case number < 1 || number > math.MaxUint16:
		d.Reason = "the port is not a number from 1 to 65535"
	case ip.Is4() || notIP != nil && isHostName(address): // an IPv4 address has one form
		return string(strconv.AppendInt(append(append(make([]byte, 0, 64), address...), ':'), int64(number), 10)), nil
	case notIP == nil && ip.Zone() == "":
		return netip.AddrPortFrom(ip, uint16(number)).String(), nil
	default:
		d.Reason = "the address is neither an IP address nor a host name"
	}
	p.result.Dropped = append(p.result.Dropped, d)
	return "", funcs.Wrap("hostport", p.funcs.Make(droppedSize))
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
