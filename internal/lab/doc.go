// Package lab builds the whole world of a fabric on one Linux machine, runs the real agents in it, and holds what the proof says
// of it against packets.
//
// Package world draws; this package builds the drawing out of network namespaces and veth pairs, gives every gateway a plan and an
// agent, and keeps what it needs to find everything again in one directory. From then on the state of the lab is a function of
// two values, the world and the list of active faults: a fault is added to or taken from the list, and what it touches is set to
// what the list now says. The prover is told of the same list. So prediction and observation keep speaking of the same world.
//
// Probes are packets made by hand and sent from a host's namespace; what arrives is read from the wires of both hosts. So the lab
// can tell a request that never came from an answer that was lost, and never asks a socket for its opinion of a path's MTU.
package lab
