package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// lease is a value that expires. Leases of the same password are the same.
type lease struct {
	password string
	id       int
	until    time.Time
}

func (l *lease) Same(other any) bool { return l.password == other.(*lease).password }

func (l *lease) Expires() time.Time { return l.until }

// A vault is a Source of leases: each step is the answer from its time on.
type vault struct {
	began time.Time
	steps []vaultStep
	reads atomic.Int64
}

type vaultStep struct {
	at       time.Duration
	password string
	lasts    time.Duration // 0: for ever
	err      error
	hangs    bool // until ctx is done
}

func (v *vault) Fetch(ctx context.Context, _ Query, after uint64) (any, uint64, error) {
	if after == 0 {
		v.reads.Add(1)
	}
	for {
		index := 0
		for index+1 < len(v.steps) && time.Since(v.began) >= v.steps[index+1].at {
			index++
		}
		step := v.steps[index]
		if after != uint64(index+1) && !step.hangs {
			l := &lease{password: step.password, id: index}
			if step.lasts != 0 {
				l.until = v.began.Add(step.at + step.lasts)
			}
			return l, uint64(index + 1), step.err
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// An answer that expires and is not replaced is an error from that moment on; one that is replaced or renewed in time is none.
func TestExpiry(t *testing.T) {
	gone := errors.New("sealed")
	const s = time.Second
	tests := []struct {
		name  string
		steps []vaultStep
		want  string // what the states are, each when it came
	}{
		{"does not expire", []vaultStep{{password: "a"}}, "0s a 1"},
		{"replaced in time", []vaultStep{{password: "a", lasts: 10 * s}, {at: 8 * s, password: "b", lasts: 3600 * s}}, "0s a 1 until 10s; 8s b 2 until 1h0m8s"},
		{"renewed in time", []vaultStep{{password: "a", lasts: 10 * s}, {at: 8 * s, password: "a", lasts: 3600 * s}}, "0s a 1 until 10s; 8s a 1 until 1h0m8s"},
		{"renewed for ever", []vaultStep{{password: "a", lasts: 10 * s}, {at: 8 * s, password: "a"}}, "0s a 1 until 10s; 8s a 1"},
		{"not replaced by a source that says nothing", []vaultStep{{password: "a", lasts: 10 * s}}, "0s a 1 until 10s; 10s a 1 until 10s EXPIRED"},
		{"replaced too late", []vaultStep{{password: "a", lasts: 10 * s}, {at: 60 * s, password: "b"}}, "0s a 1 until 10s; 10s a 1 until 10s EXPIRED; 60s b 2"},
		{"renewed too late", []vaultStep{{password: "a", lasts: 10 * s}, {at: 60 * s, password: "a"}}, "0s a 1 until 10s; 10s a 1 until 10s EXPIRED; 60s a 1"},
		{"the source fails before", []vaultStep{{password: "a", lasts: 60 * s}, {at: 10 * s, err: gone}, {at: 100 * s, password: "b"}},
			"0s a 1 until 1m0s; 10s a 1 until 1m0s sealed; 60s a 1 until 1m0s EXPIRED; 60s a 1 until 1m0s EXPIRED sealed; 100s b 2"},
		{"the source fails after", []vaultStep{{password: "a", lasts: 10 * s}, {at: 30 * s, err: gone}},
			"0s a 1 until 10s; 10s a 1 until 10s EXPIRED; 30s a 1 until 10s EXPIRED sealed"},
		{"the source hangs", []vaultStep{{password: "a", lasts: 10 * s}, {at: 5 * s, err: gone}, {at: 7 * s, hangs: true}},
			"0s a 1 until 10s; 5s a 1 until 10s sealed; 10s a 1 until 10s EXPIRED"},
		{"the first has expired", []vaultStep{{at: -20 * s, password: "a", lasts: 10 * s}, {at: 30 * s, password: "b"}}, "0s <nil> 0 EXPIRED; 30s b 1"},
		{"the next has expired", []vaultStep{{password: "a"}, {at: 10 * s, password: "b", lasts: -s}}, "0s a 1; 10s a 1 EXPIRED"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				src := &vault{began: time.Now(), steps: test.steps}
				set := NewSet(src, SetConfig{MaxBackoff: time.Second})
				defer set.Close()
				set.Watch(web)
				var states []string
				for end := time.After(5 * time.Minute); end != nil; {
					select {
					case <-end:
						end = nil
					case <-set.Ready():
						states = append(states, describe(src.began, set.Take()[web]))
					}
				}
				if got := strings.Join(states, "; "); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
				if src.reads.Load() > 450 {
					t.Errorf("%d plain reads in five minutes", src.reads.Load())
				}
			})
		})
	}
}

// describe returns when a state came, to the second, and what it is.
func describe(began time.Time, st State) string {
	password := "<nil>"
	if st.Value != nil {
		password = st.Value.(*lease).password
	}
	text := fmt.Sprintf("%.0fs %s %d", time.Since(began).Truncate(time.Second).Seconds(), password, st.Rev)
	if !st.Expires.IsZero() {
		text += " until " + st.Expires.Sub(began).String()
	}
	if late, is := errors.AsType[ExpiredError](st.Err); is {
		text += " EXPIRED"
		if late.Err != nil {
			text += " " + late.Err.Error()
		}
	} else if st.Err != nil {
		text += " " + st.Err.Error()
	}
	return text
}

func TestExpiredError(t *testing.T) {
	at := time.Date(2026, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600))
	gone := errors.New("sealed")
	if got, want := (ExpiredError{At: at}).Error(), "the answer expired at 2026-01-02T03:04:05Z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	err := ExpiredError{At: at, Err: OutageError{gone}}
	if got, want := err.Error(), "the answer expired at 2026-01-02T03:04:05Z and is not replaced: sealed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, outage := errors.AsType[OutageError](err); !outage || !errors.Is(err, gone) {
		t.Error("the reason is lost")
	}
}

// That an answer has expired is no attempt to get another: the source is asked at once, however often it has failed before.
func TestExpiryAsksAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sealed := RetriedError{Err: errors.New("sealed")}
		src := &vault{began: time.Now(), steps: []vaultStep{
			{password: "a", lasts: time.Minute}, {at: 10 * time.Second, err: sealed}, {at: 61 * time.Second, password: "b"},
		}}
		set := NewSet(src, SetConfig{MaxBackoff: time.Hour})
		defer set.Close()
		set.Watch(web)
		later(62 * time.Second)
		if st := set.Take()[web]; st.Err != nil || st.Rev != 2 {
			t.Errorf("got %+v", st)
		}
	})
}
