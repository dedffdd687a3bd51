package graph

import (
	"testing"
	"time"
)

func TestGuardString(t *testing.T) {
	for want, g := range map[string]Guard{
		"hold=5m0s,then=keep":                               {},
		"min=2,hold=5m0s,then=keep":                         {Min: 2},
		"max_drop=29%,hold=1s,then=accept":                  {MaxDrop: 0.29, Hold: time.Second, Then: Accept},
		"min=1,max_drop=33.33333333%,hold=1h0m0s,then=fail": {Min: 1, MaxDrop: 1. / 3, Hold: time.Hour, Then: Fail},
	} {
		if got := g.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
