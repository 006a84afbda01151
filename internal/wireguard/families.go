package wireguard

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/tailscale/wireguard-go/conn"
)

// senderOfIPv6 returns a bind that sends through the IPv6 socket of an open one, and does nothing else.
//
// A StdNetBind keeps buffers for addresses in a pool, and writes an IPv6 address into one before it makes it long enough
// (StdNetBind.Send in conn/bind_std.go, also upstream's): a buffer that held an IPv4 address before takes 4 of the 16 bytes, and the packet
// goes to somebody else. In a bind that sends nothing but IPv6 no buffer is ever short. The fields are not exported; they are found by
// name, and a version that has others is refused.
func senderOfIPv6(open *conn.StdNetBind) (*conn.StdNetBind, error) {
	sender := conn.NewStdNetBind().(*conn.StdNetBind)
	for _, name := range []string{"ipv6", "ipv6PC", "ipv6TxOffload"} {
		from, to := field(open, name), field(sender, name)
		if !from.IsValid() {
			return nil, fmt.Errorf("this version of wireguard-go has no StdNetBind.%s", name)
		}
		to.Set(from)
	}
	return sender, nil
}

func field(b *conn.StdNetBind, name string) reflect.Value {
	f := reflect.ValueOf(b).Elem().FieldByName(name)
	if !f.IsValid() {
		return f
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}
