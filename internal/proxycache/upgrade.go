package proxycache

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"walpurge/internal/http1"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/upstream"
)

// wantsUpgrade tells whether the client asks for another protocol on this
// connection (RFC 9110 section 7.8).
func (x *exchange) wantsUpgrade() bool {
	if !x.Has(http1.Of(http1.Upgrade)) || x.Minor == 0 || len(x.upgrades()) == 0 {
		return false
	}
	for _, name := range upstream.ConnectionOptions(x.Exchange) {
		if name == "Upgrade" {
			return true
		}
	}
	return false
}

// upgrades are the protocols that the client names, without those by which it
// would get past this proxy: with h2c (obsolete by RFC 9113 section 3.1) it
// would send the origin requests that end nothing of what is stored.
func (x *exchange) upgrades() []string {
	return slices.DeleteFunc(upstream.UpgradeNames(http1.Texts(x.Request, http1.Upgrade)), upstream.AroundHTTP)
}

// upgrade passes a request for another protocol on. If the origin agrees, the
// two connections are joined; if not, its response is passed back.
func (x *exchange) upgrade(v *verdict) verdict {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	h := x.p.requestHeader(x.Exchange, 0)
	h["Connection"] = []string{"Upgrade"}
	h["Upgrade"] = []string{strings.Join(x.upgrades(), ", ")}
	return x.exchangeWith(ctx, cancel, h, v, nil)
}

// tunnel joins the client's connection with the origin's until either ends.
func (x *exchange) tunnel(resp *http.Response, v *verdict) verdict {
	origin, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		return refused(http.StatusBadGateway, outcome.Fault, v.cs, sentences[outcome.OriginFailed])
	}
	upgrade := resp.Header["Upgrade"]
	upstream.ConnectionFields(resp.Header)
	defer x.done(v.outcome, v.cs.Detail)
	cs := v.cs
	cs.FwdStatus = resp.StatusCode
	head := http1.AppendFields(http1.AppendStatus(nil, resp.StatusCode), resp.Header)
	for _, u := range upgrade {
		head = http1.AppendField(head, "Upgrade", u)
	}
	head = http1.AppendField(head, "Connection", "Upgrade")
	client, ahead, err := x.Hijack(cs.Append(head))
	if err != nil {
		return verdict{}
	}
	defer func() { _ = client.Close() }()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(origin, io.MultiReader(bytes.NewReader(ahead), client))
		_ = origin.Close()
	}()
	_, _ = io.Copy(client, origin)
	_ = origin.Close()
	if c, ok := client.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
	_ = client.Close()
	<-done
	return verdict{}
}
