package controller

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	ropewayv1 "ropeway/api/ropeway/v1"
	"ropeway/api/ropeway/v1/ropewayv1connect"
	"ropeway/internal/authority"
	"ropeway/internal/pin"
	"ropeway/internal/role"
	"ropeway/internal/store"
)

// A fleet is a controller in a process of its own, and agents in this one: real clients with certificates of their own, over TLS on the loopback.
// They all have the same private key, which saves time and changes nothing of what a controller does.
type fleet struct {
	tb      testing.TB
	dir     string
	address string
	pin     [32]byte
	key     *ecdsa.PrivateKey
	chains  map[string][][]byte // by identity

	revision uint64 // the newest

	mu      sync.Mutex // one question at a time
	process *exec.Cmd
	ask     io.Writer
	answers chan json.RawMessage
	told    chan accepted
}

// accepted is when a change was.
type accepted struct {
	Revision uint64
	At       int64 // Unix time in nanoseconds
}

const fleetEnv = "ROPEWAY_TEST_FLEET"

func TestMain(m *testing.M) {
	switch os.Getenv(fleetEnv) {
	case "controller":
		beController(os.Getenv(fleetEnv + "_DIR"))
		return
	case "etcd":
		beEtcd(os.Getenv(fleetEnv + "_DIR"))
		return
	}
	os.Exit(m.Run())
}

// gatewayName is that of agent number n.
func gatewayName(n int) string { return fmt.Sprintf("g%04d", n) }

// starFabric is a fabric of n gateways in sites of some each, which all reach a service behind a hub.
func starFabric(n, perSite, port int) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: star}\nspec:\n  topology: {mode: hub-and-spoke, hubs: [hub]}\n")
	b.WriteString("  regions:\n    - {name: hub, prefixes: [10.255.0.0/16], gateways: [{name: hub-a, endpoint: 203.0.113.10}]}\n  sites:\n")
	for first := 0; first < n; first += perSite {
		fmt.Fprintf(&b, "    - name: s%03d\n      prefixes: [10.%d.0.0/16]\n      gateways:\n", first/perSite, first/perSite)
		for i := first; i < min(first+perSite, n); i++ {
			fmt.Fprintf(&b, "        - {name: %s, nat: true}\n", gatewayName(i))
		}
	}
	fmt.Fprintf(&b, "  access:\n    - {from: any, to: region/hub, ports: [tcp/%d]}\n", port)
	return []byte(b.String())
}

// newFleet starts a controller that n gateways and an operator are members of.
func newFleet(tb testing.TB, n int) *fleet {
	tb.Helper()
	moreFiles(tb)
	f := &fleet{tb: tb, dir: tb.TempDir(), told: make(chan accepted, 100)}
	tb.Cleanup(func() { f.kill() })
	f.start()
	var enrolled struct {
		Pin     [32]byte
		Key     []byte
		Chains  map[string][][]byte
		Problem string
	}
	f.question(&enrolled, "enroll %d", n)
	if enrolled.Problem != "" {
		tb.Fatal(enrolled.Problem)
	}
	k, err := x509.ParsePKCS8PrivateKey(enrolled.Key)
	if err != nil {
		tb.Fatal(err)
	}
	f.pin, f.key, f.chains = enrolled.Pin, k.(*ecdsa.PrivateKey), enrolled.Chains
	return f
}

// start starts the controller, the first time or again at the same address.
func (f *fleet) start() {
	f.tb.Helper()
	f.process = exec.Command(os.Args[0], "-test.run=^$")
	f.process.Env = append(os.Environ(), fleetEnv+"=controller", fleetEnv+"_DIR="+f.dir, fleetEnv+"_ADDRESS="+f.address)
	f.process.Stderr = os.Stderr
	f.process.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := f.process.StdinPipe()
	if err != nil {
		f.tb.Fatal(err)
	}
	out, err := f.process.StdoutPipe()
	if err != nil {
		f.tb.Fatal(err)
	}
	if err := f.process.Start(); err != nil {
		f.tb.Fatal(err)
	}
	f.ask, f.answers = in, make(chan json.RawMessage, 1)
	serving := make(chan string, 1)
	go f.listen(out, serving, f.answers)
	select {
	case address := <-serving:
		if f.address == "" { // it stays the same
			f.address = address
		}
	case <-time.After(time.Minute):
		f.tb.Fatal("the controller does not serve")
	}
}

// listen takes what the controller's process writes: "serving ADDRESS", "accepted {…}", "answer {…}".
func (f *fleet) listen(out io.Reader, serving chan<- string, answers chan<- json.RawMessage) {
	lines := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		what, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "serving":
			serving <- rest
		case "accepted":
			var a accepted
			if json.Unmarshal([]byte(rest), &a) == nil {
				f.told <- a
			}
		case "answer":
			answers <- json.RawMessage(rest)
		}
	}
}

func (f *fleet) kill() {
	if f.process != nil && f.process.Process != nil {
		_ = f.process.Process.Kill()
		_ = f.process.Wait()
		f.process = nil
	}
}

// question asks the controller's process.
func (f *fleet) question(into any, format string, args ...any) {
	f.tb.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := fmt.Fprintf(f.ask, format+"\n", args...); err != nil {
		f.tb.Fatal(err)
	}
	select {
	case a := <-f.answers:
		if err := json.Unmarshal(a, into); err != nil {
			f.tb.Fatal(err)
		}
	case <-time.After(5 * time.Minute):
		f.tb.Fatalf("no answer to %s", format)
	}
}

// usage is what a process takes.
type usage struct {
	Heap, Stacks int64 // bytes that are in use after a collection
	CPU          int64 // nanoseconds, user and system
}

func (f *fleet) usage() (u usage) {
	f.tb.Helper()
	f.question(&u, "usage")
	return u
}

// client returns an HTTP client of one identity, as member makes them.
func (f *fleet) client(identity string, protocol string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: f.config(identity, protocol), TLSHandshakeTimeout: time.Minute, ForceAttemptHTTP2: protocol == "h2",
	}}
}

// config is the TLS of one identity.
func (f *fleet) config(identity string, protocol string) *tls.Config {
	certificate := &tls.Certificate{Certificate: f.chains[identity][:1], PrivateKey: f.key}
	host, _, _ := net.SplitHostPort(f.address)
	config := pin.Client{Pin: f.pin, Host: host, Certificate: func() (*tls.Certificate, error) { return certificate, nil }}.TLS()
	config.NextProtos = []string{protocol}
	return config
}

// apply makes a file the fabric's as the operator, and returns when that was accepted.
func (f *fleet) apply(file []byte) accepted {
	f.tb.Helper()
	client := f.client("operator/ann", "h2")
	defer client.CloseIdleConnections()
	people := ropewayv1connect.NewFabricServiceClient(client, "https://"+f.address)
	done, err := people.Apply(f.tb.Context(), &ropewayv1.ApplyRequest{File: file, Base: f.revision, AtOnce: true}) // how fast it reaches everybody is what is measured
	if err != nil {
		f.tb.Fatal(err)
	}
	f.revision = done.Revision
	for a := range f.told {
		if a.Revision == done.Revision {
			return a
		}
	}
	return accepted{}
}

// preview asks what a file would change, as the operator.
func (f *fleet) preview(file []byte) {
	f.tb.Helper()
	client := f.client("operator/ann", "h2")
	defer client.CloseIdleConnections()
	p, err := ropewayv1connect.NewFabricServiceClient(client, "https://"+f.address).Preview(f.tb.Context(), &ropewayv1.PreviewRequest{File: file})
	if err != nil {
		f.tb.Fatal(err)
	}
	if !p.Changed || !p.Proven || p.Base != f.revision {
		f.tb.Fatalf("changed: %v, proven: %v, beside revision %d", p.Changed, p.Proven, p.Base)
	}
}

// watch watches as one gateway until ctx ends or the stream does, and tells of every grant.
func (f *fleet) watch(ctx context.Context, name string, held uint64, protocol string, got func(epoch uint64, at time.Time)) error {
	client := f.client("gateway/"+name, protocol)
	defer client.CloseIdleConnections()
	stream, err := ropewayv1connect.NewGatewayServiceClient(client, "https://"+f.address).Watch(ctx, &ropewayv1.WatchRequest{Epoch: held})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		at := time.Now()
		signed := stream.Msg().GetGrant()
		if signed == nil {
			got(0, at)
			continue
		}
		epoch, err := epochOf(signed)
		if err != nil {
			return err
		}
		got(epoch, at)
	}
	return stream.Err()
}

// moreFiles has this process and its children open as many files as they may.
func moreFiles(tb testing.TB) {
	tb.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		tb.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		tb.Fatal(err)
	}
}

// beController is the main of a controller's process.
func beController(dir string) {
	must := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	log := slog.New(&teller{})
	ca, err := authority.Open(filepath.Join(dir, "authority"), "star", time.Now())
	must(err)
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(dir, "store"), Log: log})
	must(err)
	listen := os.Getenv(fleetEnv + "_ADDRESS")
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	c := New(Options{
		Fabric: "star", Listen: listen, Name: "one", At: authority.Hosts{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, Store: st, Authority: ca, Log: log,
	})
	go func() { must(c.Run(ctx)) }()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var answer any
		var n int
		switch what, _, _ := strings.Cut(in.Text(), " "); what {
		case "enroll":
			_, err := fmt.Sscanf(in.Text(), "enroll %d", &n)
			must(err)
			answer = c.enrollFleet(ctx, n)
		case "usage":
			answer = usageOfThis()
		case "cpu":
			answer = cpuOfThis()
		case "peak":
			answer = peakOfThis()
		}
		text, err := json.Marshal(answer)
		must(err)
		fmt.Printf("answer %s\n", text)
	}
}

// enrollFleet makes members of n gateways and an operator, by tokens as ever, many at a time.
func (c *Controller) enrollFleet(ctx context.Context, n int) any {
	out := struct {
		Pin     [32]byte
		Key     []byte
		Chains  map[string][][]byte
		Problem string
	}{Pin: c.opts.Authority.Pin(), Chains: map[string][][]byte{}}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		out.Key, err = x509.MarshalPKCS8PrivateKey(k)
	}
	csr, err2 := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, k)
	if err != nil || err2 != nil {
		out.Problem = fmt.Sprint(err, err2)
		return out
	}
	fingerprint, _ := fingerprintOf(csr)
	ids := []role.Identity{{Role: role.Operator, Name: "ann"}}
	for i := range n {
		ids = append(ids, role.Identity{Role: role.Gateway, Name: gatewayName(i)})
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(64)
	for _, id := range ids {
		group.Go(func() error {
			t, _, err := c.FirstToken(ctx, id, time.Hour)
			if err != nil {
				return err
			}
			_, err = c.opts.Store.Redeem(ctx, t.Hash(), time.Now(), func(t store.Token) store.Member {
				return store.Member{Identity: t.Identity, Fingerprint: fingerprint, At: time.Now()}
			})
			if err != nil {
				return err
			}
			chain, _, err := c.opts.Authority.Issue(csr, id, time.Now(), certificateLife)
			mu.Lock()
			defer mu.Unlock()
			out.Chains[id.String()] = chain
			return err
		})
	}
	if err := group.Wait(); err != nil {
		out.Problem = err.Error()
	}
	return out
}

func usageOfThis() usage {
	for range 3 { // stacks shrink by and by
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{int64(m.HeapAlloc), int64(m.StackInuse), cpuOfThis()}
}

func cpuOfThis() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// A teller is a log that tells the process above when a change was accepted, and where the controller serves.
type teller struct{}

func (*teller) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (t *teller) WithAttrs([]slog.Attr) slog.Handler         { return t }
func (t *teller) WithGroup(string) slog.Handler              { return t }
func (*teller) Handle(_ context.Context, r slog.Record) error {
	values := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool { values[a.Key] = a.Value; return true })
	switch {
	case r.Message == "serving":
		fmt.Printf("serving %s\n", values["address"])
	case r.Message == "a change was accepted":
		fmt.Printf("accepted {\"Revision\":%d,\"At\":%d}\n", values["revision"].Uint64(), r.Time.UnixNano())
	case r.Level >= slog.LevelWarn:
		fmt.Fprintln(os.Stderr, r.Level, r.Message, values)
	}
	return nil
}

func peakOfThis() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return r.Maxrss << 10
}

// cpu returns what the controller's process has used so far.
func (f *fleet) cpu() int64 {
	f.tb.Helper()
	var out int64
	f.question(&out, "cpu")
	return out
}

// peak returns the most memory that the controller's process ever held, in bytes.
func (f *fleet) peak() int64 {
	f.tb.Helper()
	var out int64
	f.question(&out, "peak")
	return out
}

// meshFabric is a full mesh of n regions with so many prefixes each. Turn changes one thing of it.
func meshFabric(n, prefixes, turn int) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: ropeway/v1\nkind: Fabric\nmetadata: {name: star}\nspec:\n  topology: {mode: mesh}\n  regions:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - name: p%04d\n      gateways: [{name: p%04d-a, endpoint: 198.18.%d.%d}]\n      prefixes:\n", i, i, i>>8, i&255)
		for j := range prefixes {
			k := i*prefixes + j
			fmt.Fprintf(&b, "        - 10.%d.%d.0/%d\n", k>>8, k&255, 24+j%5)
		}
	}
	fmt.Fprintf(&b, "  access:\n    - {from: any, to: any, ports: [icmp, tcp/%d-65535]}\n", 1+turn)
	return []byte(b.String())
}
