"""The network between tiles: mesh or torus, wormhole switching, virtual channels, credits; cycle level and closed form.

Two fidelities with the same result type:

    from accelsim.noc.closed_form import analytical
    from accelsim.noc.simulation import simulate
    from accelsim.noc.topology import Mesh
    from accelsim.noc.traffic import Messages, NocSpec

    mesh, spec = Mesh(4, 4), NocSpec(vcs=2, buffer_flits=8, flit_bits=64)
    messages = Messages.of(source, destination, flits=spec.flits(bits), cycle=start)
    run = simulate(mesh, spec, messages)      # every flit, every cycle
    run = analytical(mesh, spec, messages)    # unloaded latency + M/D/1 waiting on contended links

`NocRun`: latency_cycles [n] (from the start cycle to the arrival of the tail), network_latency_cycles [n]
(from injection), arrival_cycle [n], link_flits [nodes, 5], finish_cycle, flit_hops (links x flits),
router_traversals (routers x flits: one buffer write, one buffer read and one switch traversal each).

`load_test(mesh, spec, pattern, rate, packet_flits)` measures a mesh under random traffic, as network
designers do; `load_model` is its closed form.
"""
