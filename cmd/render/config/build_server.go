package config

import (
	"render/cmd/render/config/server"
	"render/watch/nomad"
	"render/watch/vault"
)

// vault returns the settings of Vault's source.
func (l *loader) vault() vault.Config {
	cfg, remarks := l.global.Vault.Config(l.global.isSet, l.getenv)
	l.take("vault", remarks)
	cfg.Log, cfg.Unwrapped = nil, nil
	return cfg
}

// nomad returns the settings of Nomad's source.
func (l *loader) nomad() nomad.Config {
	cfg, remarks := l.global.Nomad.Config(l.global.isSet)
	l.take("nomad", remarks)
	return cfg
}

// take takes remarks on the settings of a block.
func (l *loader) take(block string, remarks server.Remarks) {
	for _, r := range remarks {
		switch {
		case r.Err != nil && r.Field != nil:
			l.wrong(l.global.values, r.Field, "%w", r.Err)
		case r.Err != nil:
			l.fault(origin{name: block}, "%w", r.Err)
		case r.Field != nil:
			from := l.global.origin(r.Field)
			l.notice(from, "%s has no effect: %s", from.nameOf(l.global.key(r.Field)), r.Idle)
		default:
			l.notice(origin{name: r.Variable}, "%s has no effect: %s", r.Variable, r.Idle)
		}
	}
}
