// The mechanisms of the scenarios that need a cluster. Where several layers keep one promise, all of them are taken out, since each is enough.
import type { Mechanism } from '../mechanisms.ts'

const agent = 'cluster-agent/src/'
const proves = (file: 'exec' | 'pods' | 'node', test: string) =>
  ({ proof: { file: `e2e/chaos/cluster/${file}`, test, project: 'cluster' } }) as const

/** The end of a stream counts as the end of the process. */
const streamsDecide: Mechanism = {
  file: `${agent}pods/attempt-directories.ts`,
  find: "await control.ask(['wait', name])",
  put: `await control.ask(['wait', name]).catch(() => ({ status: 'ended', data: [], rest: '{"exit_code":0,"stdout_bytes":0,"stderr_bytes":0,"started_at":0,"ended_at":0,"reason":"exited"}' }))`,
}
const deletedStays: Mechanism = {
  file: `${agent}pods/kubernetes/inventory.ts`,
  find: "if (phase === 'DELETED') pods.delete(nameOf(pod))",
  put: "if (phase === 'DELETED') pods.set(nameOf(pod), { ...pod, status: {} })",
}
const oneLife: Mechanism = {
  file: `${agent}pods/supervisor.sh`,
  find: 'r_life=$r_boot.${20-}',
  put: 'r_life=always',
}

/** A follower that knows the end counts as complete. */
const recordIsAll: Mechanism = {
  file: `${agent}pods/follow.ts`,
  find: `    at.stdout >= Math.min(record.stdout_bytes, sizes?.stdout ?? Infinity) &&
    at.stderr >= Math.min(record.stderr_bytes, sizes?.stderr ?? Infinity)`,
  put: '    true',
}

export const mechanismsOfCluster: Readonly<Record<string, readonly Mechanism[] | Mechanism>> = {
  'exit record (exec says Success)': { ...streamsDecide, ...proves('exec', '27 every exec') },
  'exit record (kubelet)': { ...streamsDecide, ...proves('node', '27 · 32 the kubelet') },
  'exit record (containerd)': { ...streamsDecide, ...proves('node', '27 containerd') },
  'sizes in the record': { ...recordIsAll, ...proves('exec', '28 output') },
  'offsets of a follower': {
    file: `${agent}pods/follow.ts`,
    find: '${following.name} ${at.stdout} ${at.stderr}',
    put: '${following.name} 0 0',
    ...proves('exec', '29 execs'),
  },
  'pings of exec and sizes in the record': [
    {
      file: `${agent}pods/kubernetes/socket.ts`,
      find: 'if (!received && !socket.isPaused) socket.terminate()',
      put: '',
      ...proves('exec', '30 execs that freeze'),
    },
    { file: `${agent}pods/pod-shells.ts`, find: 'ping ??= setTimeout(', put: 'ping ??= (() => undefined as NodeJS.Timeout | undefined)(' },
    recordIsAll,
  ],
  'inventory (frozen)': { ...deletedStays, ...proves('exec', '30 execs frozen') },
  'inventory (drained)': { ...deletedStays, ...proves('pods', '31 a pod that is evicted') },
  'an ended pod is gone': {
    file: `${agent}pods/kubernetes/inventory.ts`,
    find: 'if (hasEnded(pod)) return undefined',
    put: '',
    ...proves('pods', '31 a pod that its kubelet'),
  },
  'exit code in the record': {
    file: `${agent}pods/supervisor.sh`,
    find: 'r_record "$r_status" "$r_why" exit.next',
    put: 'r_record 0 "$r_why" exit.next',
    ...proves('pods', '31 a process'),
  },
  'life of a container': { ...oneLife, ...proves('pods', '31 a container') },
  'life of a container (reboot)': { ...oneLife, ...proves('node', '31 the node') },
  'life of a container (no agent)': { ...oneLife, ...proves('node', '9 a pod replaced') },
  'identity of a pod': [
    { ...deletedStays, ...proves('pods', '9 a pod that') },
    { file: `${agent}pods/kubernetes/inventory.ts`, find: "uid: pod.metadata?.uid ?? ''", put: "uid: 'one'" },
    oneLife,
  ],
  'a dead supervisor’s tree is ended': {
    file: `${agent}pods/supervisor.sh`,
    find: `r_kill_tree "$1" '' - "$r_now" "$((r_now + 1000))"`,
    put: ':',
    ...proves('pods', '33 its'),
  },
  'room for the record': {
    file: `${agent}pods/supervisor.sh`,
    find: 'if [ -f "$r_dir/room" ]; then rm -f "$r_dir/room"; else sleep 1; fi',
    put: 'sleep 1',
    ...proves('pods', '34 on a full'),
  },
  'the tree ends with its main process': {
    file: `${agent}pods/supervisor.sh`,
    find: 'r_kill_tree "$r_task.$r_number" "$r_sid" - "${r_term:-$r_now}" "${r_kill:-$((r_now + 1000))}"',
    put: ':',
    ...proves('pods', '35 children'),
  },
  'window (exec)': {
    file: `${agent}link/task-line-machine.ts`,
    find: 'state.units.length === 0 || (state.units.length < maxUnackedUnits && state.unackedBytes + bytes <= maxUnackedBytes)',
    put: 'state.units.length + maxUnackedUnits + maxUnackedBytes + bytes > 0',
    ...proves('node', '41 50 MB'),
  },
}
