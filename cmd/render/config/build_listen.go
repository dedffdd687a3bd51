package config

import "render/render/web"

// listen returns where the status page, the API and the metrics are; nowhere for a run that ends by itself, or may run beside another.
func (l *loader) listen(off bool) web.Settings {
	g := l.global
	s := web.Settings{
		Addresses: g.Listen.Addresses, Mode: g.Listen.Mode, Cert: g.Listen.Cert, Key: g.Listen.Key,
		TokenFile: g.Listen.TokenFile, Hosts: g.Listen.Hosts, Insecure: g.Listen.Insecure,
	}
	field := any(&g.Listen.Addresses)
	if (s.Cert == "") != (s.Key == "") {
		if field = &g.Listen.Cert; s.Cert == "" {
			field = &g.Listen.Key
		}
	}
	if err := (web.Settings{Hosts: s.Hosts}).Validate(); err != nil {
		field = &g.Listen.Hosts
	}
	if err := s.Validate(); err != nil {
		l.wrong(g.values, field, "%v", err)
	}
	if off {
		s.Addresses = nil
	}
	return s
}
