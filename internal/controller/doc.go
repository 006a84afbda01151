// Package controller keeps a fabric: it takes changes from people, proves them, remembers them in the store, and hands every gateway its plan.
//
// What a controller knows stands in the store, as revisions: a fabric file and a lock, from which the plans follow. Everything else it works out
// again, so that it can be killed at any moment, and so that several controllers of one store need no other talk. The flow is one circle. A
// change (an applied file, the key of a gateway that enrolled) is compiled and proven by the desk and committed to the store, where it is
// accepted or comes too late. The store tells every controller of the new revision, this one too; each compiles it, puts what changed
// into its outbox as grants that the authority signs, and the gateways that watch are woken.
//
// No packet ever waits for a controller. A gateway follows the last grant that it has, for ever.
package controller
