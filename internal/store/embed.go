package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"ropeway/internal/diag"
)

const (
	aloneName = "alone"
	aloneURL  = "http://127.0.0.1:1" // etcd wants one; nobody listens there, and nobody is told
	slow      = time.Second          // etcd warns of what takes longer: a tenth of it is usual on a busy machine
	retention = "1h"                 // how long etcd keeps values that were overwritten or removed
)

// embed starts an etcd in this process and makes a client of it, without a connection in between.
func (s *Store) embed(ctx context.Context, o Options, log *zap.Logger) error {
	release, err := claim(o.Dir)
	if err != nil {
		return err
	}
	s.release = release
	cfg, err := config(o, log)
	if err != nil {
		return err
	}
	if s.etcd, err = startEtcd(cfg); err != nil {
		return err
	}
	s.client = v3client.New(s.etcd.Server)
	select {
	case <-s.etcd.Server.ReadyNotify():
		return s.settle(ctx, o.PeerURL)
	case <-s.etcd.Server.StopNotify():
		return fmt.Errorf("start etcd: %w", s.Why())
	case <-ctx.Done():
		return fmt.Errorf("start etcd: %w: too few members of the cluster are there: %w", ErrUnavailable, ctx.Err())
	}
}

// startEtcd turns the panics with which etcd meets data that it cannot read into errors.
func startEtcd(cfg *embed.Config) (e *embed.Etcd, err error) {
	defer func() {
		if p := recover(); p != nil {
			e, err = nil, fmt.Errorf("start etcd: it gave up: %s", diag.Quote(fmt.Sprint(p)))
		}
	}()
	if e, err = embed.StartEtcd(cfg); err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	return e, nil
}

// config is that of an etcd that nobody but this process and the other members can speak to.
func config(o Options, log *zap.Logger) (*embed.Config, error) {
	cfg := embed.NewConfig()
	cfg.Dir = o.Dir
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	cfg.WarningApplyDuration, cfg.WarningUnaryRequestDuration = slow, slow
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, retention
	election := cmp.Or(o.Election, UsualElection).Milliseconds()
	cfg.ElectionMs, cfg.TickMs = uint(election), uint(election/beats)
	cfg.QuotaBackendBytes = o.Quota
	if o.Quota == 0 {
		cfg.QuotaBackendBytes = defaultQuota
	}
	cfg.AuthToken = "" // nobody logs in
	cfg.InitialClusterToken = "ropeway"
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, nil
	if o.PeerURL == "" {
		u, err := url.Parse(aloneURL)
		if err != nil {
			return nil, fmt.Errorf("configure etcd: %w", err)
		}
		cfg.Name = cmp.Or(o.Name, aloneName)
		cfg.InitialCluster = cfg.Name + "=" + aloneURL
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = nil, []url.URL{*u}
		return cfg, nil
	}
	cfg.Name, cfg.InitialCluster = o.Name, cmp.Or(o.InitialCluster, o.Name+"="+o.PeerURL)
	if o.Join {
		cfg.ClusterState = embed.ClusterStateFlagExisting
	}
	reach, err := url.Parse(o.PeerURL)
	listen, err2 := url.Parse(o.listen())
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("configure etcd: %w", err)
	}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*listen}, []url.URL{*reach}
	cfg.PeerTLSInfo = peerTLS(o.PeerTLS)
	cfg.TlsMinVersion = "TLS1.3"
	return cfg, nil
}

// peerTLS goes by the name in a certificate alone, both ways: where a peer calls from may be a translated address, and where it is reached is
// for the list of members to say.
func peerTLS(t PeerTLS) transport.TLSInfo {
	if t == (PeerTLS{}) {
		return transport.TLSInfo{}
	}
	return transport.TLSInfo{
		CertFile: t.Cert, KeyFile: t.Key, TrustedCAFile: t.CA,
		ClientCertAuth: true, AllowedHostnames: []string{t.Peer}, ServerName: t.Peer, SkipClientSANVerify: true,
	}
}
