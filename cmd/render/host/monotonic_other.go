//go:build !linux

package host

import "time"

// monotonic is of systemd, which is on Linux only.
func monotonic() time.Duration { return 0 }
