package controller

import "net/http"

// alive answers whether the controller is there. To a stranger it says no more. Who shows a certificate asks because he looks for a controller to
// work with, and one that does not reach its store is none.
func (c *Controller) alive(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && !c.opts.Store.Ready(r.Context()) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("alive\n"))
}
