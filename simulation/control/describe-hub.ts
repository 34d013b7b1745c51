import type { HubEffect, HubInput } from '../../control-plane/src/objects/cluster-hub/state.ts'

const ref = ({ task_id, attempt }: { readonly task_id: string; readonly attempt: number }): string => `${shortId(task_id)}.${attempt}`
/** The last characters of an id, which tell the tasks of one history apart. */
export const shortId = (id: string): string => `…${id.slice(-4)}`

/** One output line of the trace: the hub's input and its effects. */
export function describeHub(input: HubInput, effects: readonly HubEffect[]): string {
  const told = effects.flatMap(effectWords)
  return `${inputWords(input)}${told.length > 0 ? ` → ${told.join('; ')}` : ''}`
}

function inputWords(input: HubInput): string {
  switch (input.type) {
    case 'frame': {
      const { frame } = input
      const on = `on ${input.connection}`
      if (frame.type === 'hello') {
        const pods = frame.pods.map((pod) => `${pod.name}/${pod.uid}${pod.ready ? '' : ' (not ready)'}`)
        return `hello ${on}: pods ${pods.join(', ') || 'none'}; attempts ${frame.attempts.map((each) => `${ref(each)} ${each.state}`).join(', ') || 'none'}`
      }
      if (frame.type === 'pods')
        return `pods ${on}: ${frame.pods.map((pod) => `${pod.name}/${pod.uid}${pod.ready ? '' : ' (not ready)'}`).join(', ')}`
      if (frame.type === 'rejected') return `rejected ${on}: ${frame.attempts.map((each) => `${ref(each)} ${each.reason}`).join(', ')}`
      if (frame.type === 'accepted' || frame.type === 'finished') return `${frame.type} ${on}: ${frame.attempts.map(ref).join(', ')}`
      return `${frame.type} ${on}`
    }
    case 'loaded':
      return `rows: ${input.live.map(({ task }) => `${ref({ task_id: task.id, attempt: task.attempt })} ${task.status} in ${task.pod}`).join(', ') || 'none live'}`
    case 'claimed':
      return `claimed ${input.claim_id}: ${input.tasks.map(({ task }) => `${ref({ task_id: task.id, attempt: task.attempt })} in ${task.pod}`).join(', ') || 'nothing'}`
    case 'ended':
      return `row of ${ref(input.ref)} has ended`
    case 'connected':
    case 'closed':
      return `${input.type} ${input.connection}`
    case 'woke':
      return `woke with ${input.connection?.id ?? 'no connection'}`
    case 'written':
    case 'write_failed':
      return `${input.type} ${input.id}`
    case 'key_judged':
      return `key of ${input.connection} judged: ${input.valid}`
    case 'key_revoked':
      return `told that ${input.key_id} was revoked`
    default:
      return input.type
  }
}

function effectWords(effect: HubEffect): string[] {
  switch (effect.type) {
    case 'send': {
      const { frame } = effect
      if (frame.type === 'welcome')
        return [`welcome epoch ${frame.epoch} adopt [${frame.adopt.map(ref).join(' ')}] stop [${frame.stop.map(ref).join(' ')}]`]
      if (frame.type === 'assign') return [`assign ${frame.tasks.map((task) => `${ref(task)} to ${task.pod}`).join(', ')}`]
      return [`send ${frame.type}`]
    }
    case 'close':
      return [`close ${effect.connection} ${effect.code} (${effect.reason})`]
    case 'write': {
      const { write } = effect
      if (write.kind === 'requeue') return [`write ${effect.id}: requeue ${ref(write.ref)}`]
      if (write.kind === 'end') {
        const { task, outcome } = write
        return [`write ${effect.id}: end ${ref({ task_id: task.id, attempt: task.attempt })} as ${outcome.status} (${outcome.error ?? ''})`]
      }
      if (write.kind === 'mark_started') return [`write ${effect.id}: started ${write.started.map(ref).join(', ')}`]
      return [`write ${effect.id}: ${write.kind}`]
    }
    case 'claim':
      return [`claim ${effect.claim_id} for ${effect.slots.length} slots`]
    case 'renew':
      return [`renew ${effect.refs.map(ref).join(' ')}`]
    case 'sync_logs':
      return [`sync ${effect.tasks.map(({ id }) => shortId(id)).join(' ')}`]
    case 'alarm':
      return []
    default:
      return [effect.type]
  }
}
