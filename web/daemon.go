package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) daemonRoutes() {
	s.handle("GET /api/v1/status", http.StatusOK, func(r *http.Request) (any, error) { return s.o.Status(r.Context()) })
	s.handle("GET /api/v1/health", http.StatusOK, s.health)
	s.raw("GET /api/v1/openapi.json", describe)
	s.handle("POST /api/v1/daemon/stop", http.StatusAccepted, func(*http.Request) (any, error) {
		if s.o.Stop == nil {
			return nil, fault.New(fault.NotSupported, "this daemon is stopped by what started it", "use its service manager")
		}
		s.o.Stop()
		return struct{}{}, nil
	})
	s.handle("POST /api/v1/presence", http.StatusOK, s.prove)
	s.handle("POST /api/v1/presence/challenge", http.StatusOK, s.challenge)
	s.handle("PUT /api/v1/presence", http.StatusOK, s.setPresence)
}

// health says that the API answers; the paths without a token say less.
func (s *Server) health(r *http.Request) (any, error) {
	st, err := s.o.Status(r.Context())
	return api.Health{Status: "ok", Locked: st.Locked, Version: st.Version}, err
}

// Health answers /healthz (the process lives) and /readyz (the vault answers), for anyone, without a word about what is inside.
func Health(ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"status":"` + text + `"}` + "\n"))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		switch err := ready(r.Context()); fault.CodeOf(err) {
		case "":
			say(w, http.StatusOK, "ready")
		case fault.VaultLocked:
			say(w, http.StatusServiceUnavailable, "locked")
		default:
			say(w, http.StatusServiceUnavailable, "unavailable")
		}
	})
	return mux
}
