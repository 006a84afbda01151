package keeper

import (
	"context"
	"errors"
	"net"
	"net/url"

	"github.com/hashicorp/vault/api"
	"gocloud.dev/gcp"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/awskms"
	"gocloud.dev/secrets/azurekeyvault"
	"gocloud.dev/secrets/gcpkms"
	"gocloud.dev/secrets/hashivault"
)

// An opener logs in to a KMS, as is usual there: environment, configuration, the role of the machine. It does so each time, so that neither a failure nor
// a credential outlives a backup.
type opener func(context.Context, *url.URL) (k *secrets.Keeper, done func(), err error)

func openers() map[string]opener {
	return map[string]opener{
		awskms.Scheme:        with(&awskms.URLOpener{}),
		azurekeyvault.Scheme: with(&azurekeyvault.URLOpener{ClientMaker: azurekeyvault.DefaultClientMaker}),
		gcpkms.Scheme:        openGCP,
		hashivault.Scheme:    openVault,
	}
}

func with(o secrets.KeeperURLOpener) opener {
	return func(ctx context.Context, u *url.URL) (*secrets.Keeper, func(), error) {
		k, err := o.OpenKeeperURL(ctx, u)
		return k, func() { _ = k.Close() }, err
	}
}

func openGCP(ctx context.Context, u *url.URL) (*secrets.Keeper, func(), error) {
	who, err := gcp.DefaultCredentials(ctx)
	if err != nil {
		return nil, nil, err
	}
	client, done, err := gcpkms.Dial(ctx, who.TokenSource)
	if err != nil {
		return nil, nil, err
	}
	k, err := (&gcpkms.URLOpener{Client: client}).OpenKeeperURL(ctx, u)
	if err != nil {
		done()
		return nil, nil, err
	}
	return k, done, nil
}

// openVault speaks in clear with this machine alone, where an agent of Vault's may be: the key of a backup is in what it says.
func openVault(ctx context.Context, u *url.URL) (*secrets.Keeper, func(), error) {
	client, err := api.NewClient(nil) // VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT, VAULT_NAMESPACE
	if err != nil {
		return nil, nil, err
	}
	at, err := url.Parse(client.Address())
	if err != nil || at.Scheme != "https" && (at.Scheme != "http" || !here(at.Hostname())) {
		return nil, nil, errors.New("VAULT_ADDR is not https://HOST:PORT")
	}
	return with(&hashivault.URLOpener{Client: client})(ctx, u)
}

func here(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
