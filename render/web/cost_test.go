package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What a page of an engine with 5,000 targets costs.
func BenchmarkPage(b *testing.B) {
	s := New(Config{Engine: newSample(5000, ""), Version: "1.2.3", Log: slog.New(slog.DiscardHandler)})
	defer s.Close()
	s.rules.Store(new(rules))
	for _, path := range []string{"/", "/targets", "/targets?q=web", "/api/v1/status", "/api/v1/targets"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
				if w.Code != http.StatusOK {
					text, _ := io.ReadAll(w.Body)
					b.Fatalf("%d %s", w.Code, text)
				}
			}
		})
	}
}
