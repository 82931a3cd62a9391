"""Lists the faults: on which deployment each happens, which can happen together, and which cannot
be caused on this machine."""

from collections.abc import Sequence

from ..clocks import FAKETIME
from .deployment import Deployment
from .deployments import ClusterDeployment, SentinelDeployment
from .faults import (
    Fault,
    answers_of_redis_lost,
    browsers_cut,
    browsers_far_away,
    browsers_half_open,
    clock_set_back,
    disk_full,
    failover,
    failover_to_a_replica_that_lags,
    host_cut_from_redis,
    host_half_open_to_redis,
    line_to_redis_slow,
    network_to_browsers_gone,
    network_to_redis_gone,
    network_to_redis_narrow,
    out_of_memory,
    output_buffer_full,
    read_only,
    reconnect_storm,
    redis_far_away,
    redis_killed_and_restarted,
    redis_slow,
    redis_stopped,
    subscribers_cut,
    subscribers_cut_a_hundred_times,
    too_few_replicas,
)
from .host_faults import (
    clocks_apart,
    indexer_stopped,
    reloads_while_frames_are_open,
    rolling_restart,
    worker_killed,
    worker_stopped,
    worker_stopped_for_a_while,
    workers_replaced,
)
from .nodes_faults import (
    node_killed,
    node_stopped,
    planned_failover_in_the_cluster,
    primary_behind_sentinels_killed,
    sentinels_fail_over,
    sentinels_killed_and_restarted,
    slots_moved,
    slots_moved_and_subscribers_cut,
)
from .people_faults import people_leave_and_join, people_rename_themselves, readers_that_never_read

# Faults that use commands of the database, and so cannot happen together with another fault of the
# database.
OF_THE_DATABASE: list[Fault] = [
    redis_killed_and_restarted,
    redis_stopped,
    redis_slow,
    out_of_memory,
    read_only,
    too_few_replicas,
    subscribers_cut,
    subscribers_cut_a_hundred_times,
    output_buffer_full,
    failover,
    failover_to_a_replica_that_lags,
    clock_set_back,
    disk_full,
]
# Faults that need a network of its own for each host.
OF_THE_WIRES: list[Fault] = [
    network_to_redis_gone,
    answers_of_redis_lost,
    network_to_redis_narrow,
    network_to_browsers_gone,
]
# Faults whose checks demand more than the promises, so another fault would break them.
ALONE: list[Fault] = [
    clocks_apart,
    indexer_stopped,
    line_to_redis_slow,
    reloads_while_frames_are_open,
    worker_stopped,
]
FAULTS: list[Fault] = [
    *OF_THE_DATABASE,
    *OF_THE_WIRES,
    *ALONE,
    worker_killed,
    worker_stopped_for_a_while,
    rolling_restart,
    workers_replaced,
    host_cut_from_redis,
    host_half_open_to_redis,
    redis_far_away,
    browsers_cut,
    browsers_half_open,
    browsers_far_away,
    reconnect_storm,
    readers_that_never_read,
    people_leave_and_join,
    people_rename_themselves,
]
# The class and the faults of each deployment, by name.
PLAN: dict[str, tuple[type[Deployment], Sequence]] = {
    "pair": (Deployment, FAULTS),
    "sentinel": (
        SentinelDeployment,
        [
            primary_behind_sentinels_killed,
            sentinels_fail_over,
            sentinels_killed_and_restarted,
            worker_killed,
        ],
    ),
    "cluster": (
        ClusterDeployment,
        [
            slots_moved,
            slots_moved_and_subscribers_cut,
            node_killed,
            node_stopped,
            planned_failover_in_the_cluster,
            people_rename_themselves,
        ],
    ),
}


def may_be_together(one: Fault, other: Fault) -> bool:
    """Return True if two faults can be caused at the same time."""
    if one in ALONE or other in ALONE:
        return False
    return not (one in OF_THE_DATABASE and other in OF_THE_DATABASE)


def name(fault: Fault) -> str:
    return fault.__name__.replace("_", " ")


def why_not(fault: Fault, deployment: Deployment) -> str:
    """Return why a fault cannot be caused on this machine, or ""."""
    if fault is clock_set_back and not FAKETIME:
        return "libfaketime is not installed"
    if fault is disk_full and not deployment.primary.small_disk:
        return "only root may mount a small disk"
    if fault in OF_THE_WIRES and not deployment.spaces:
        return "network namespaces take root (CAP_NET_ADMIN) and iproute2"
    return ""
