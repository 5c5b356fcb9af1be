package mcp_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	gomcp "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	mcpgo "github.com/mark3labs/mcp-go/mcp"
)

// person is whoever sits at a client: they accept, and remember what they saw.
type person struct{ saw []mcpgo.ElicitationParams }

func (p *person) Elicit(_ context.Context, q mcpgo.ElicitationRequest) (*mcpgo.ElicitationResult, error) {
	p.saw = append(p.saw, q.Params)
	return &mcpgo.ElicitationResult{ElicitationResponse: mcpgo.ElicitationResponse{Action: mcpgo.ElicitationResponseActionAccept}}, nil
}

// TestAClientOfTheLibraryIsAsked: mcp-go's own client, of either era, by the doors by which it can be asked (by SSE it takes no questions: defect 7).
func TestAClientOfTheLibraryIsAsked(t *testing.T) {
	ctx := context.Background()
	transports := map[string]func(t *testing.T, w *web) transport.Interface{
		"stdio": func(_ *testing.T, w *web) transport.Interface {
			conn := w.connect(tokenA).conn
			return transport.NewIO(conn, conn, nil)
		},
		"http": func(t *testing.T, w *web) transport.Interface {
			x, err := transport.NewStreamableHTTP(w.url+"/mcp", transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + tokenA}))
			if err != nil {
				t.Fatal(err)
			}
			return x
		},
	}
	for name, make := range transports {
		for _, version := range []string{"2025-06-18", "2025-11-25", "2026-07-28"} {
			t.Run(name+" "+version, func(t *testing.T) {
				var rounds atomic.Int64
				w := newWeb(t, asks(&rounds))
				p := &person{}
				caps := mcpgo.ClientCapabilities{Elicitation: &mcpgo.ElicitationCapability{Form: &struct{}{}, URL: &struct{}{}}}
				c := gomcp.NewClient(make(t, w), gomcp.WithElicitationHandler(p), gomcp.WithClientCapabilities(caps), gomcp.WithProtocolVersion(version))
				if err := c.Start(ctx); err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Initialize(ctx, mcpgo.InitializeRequest{Params: mcpgo.InitializeParams{Capabilities: caps, ClientInfo: mcpgo.Implementation{Name: "t", Version: "1"}}}); err != nil {
					t.Fatal(err)
				}
				said := func(tool string) string {
					r, err := c.CallTool(ctx, mcpgo.CallToolRequest{Params: mcpgo.CallToolParams{Name: tool, Arguments: map[string]any{}}})
					if err != nil || len(r.Content) == 0 {
						t.Fatalf("%s: %+v %v", tool, r, err)
					}
					return fmt.Sprint(r.Content[0])
				}
				if got := said("notice"); !strings.Contains(got, "it ran") || len(p.saw) != 1 || p.saw[0].Message != "A call waits." || p.saw[0].URL != "" {
					t.Errorf("a notice: %s %+v", got, p.saw)
				}
				got := said("page")
				if version < "2025-11-25" {
					if !strings.Contains(got, "said ") || len(p.saw) != 1 {
						t.Errorf("a page, before there were any: %s %+v", got, p.saw)
					}
					return
				}
				if !strings.Contains(got, "said accept") || len(p.saw) != 2 || p.saw[1].Mode != "url" || p.saw[1].URL != "https://vault.example/intake/x" {
					t.Errorf("a page: %s %+v", got, p.saw)
				}
			})
		}
	}
}
