package skew

import "encoding/binary"

// replacement is a clock_gettime(clockid, timespec) for the x86-64 ABI: it asks the kernel, and adds so many seconds to what it says of
// CLOCK_REALTIME, which is 0.
func replacement(seconds int64) ([]byte, error) {
	code := []byte{
		0xb8, 0xe4, 0, 0, 0, // mov eax, 228: SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi
		0x75, 13, // jne past what follows
		0x48, 0xb9, // mov rcx, seconds
	}
	code = binary.LittleEndian.AppendUint64(code, uint64(seconds))
	return append(code,
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3, // ret
	), nil
}
