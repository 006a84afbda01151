package e2e

import "testing"

// TestTheSameFabricWithBIRD: the daemon is a word in the file, and packets and proof agree all the same, also where a gateway is lost and packets go by the other.
// A download goes on there though its client is silent, whichever end's gateway is lost.
func TestTheSameFabricWithBIRD(t *testing.T) {
	t.Parallel()
	file, name := withBIRD(t, silentAccess), labName("bird")
	up(t, file, name)
	tested(t, 0, name)
	d := newDownload(t, name)
	d.goesOn("at first")
	server, client := d.carrier(file, "use1-a", "use1-b"), d.carrier(file, "hq-1", "hq-2")
	must(t, 0, "lab", "fault", "--name", name, "gateway-kill", server)
	d.goesOn("without " + server)
	if r := tested(t, 0, name); len(r.Faults) != 1 {
		t.Errorf("the report tells of faults %v", r.Faults)
	}
	must(t, 0, "lab", "fault", "--name", name, "undo", "all")
	tested(t, 0, name)
	d.goesOn("with all gateways again")
	must(t, 0, "lab", "fault", "--name", name, "gateway-kill", client)
	d.goesOn("without " + client)
}
