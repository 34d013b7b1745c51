// Prints a task's events for a person, one or a few lines each.
import type { TaskEvent } from '@rdev/shared/domain/event'

const dim = (text: string) => (process.stdout.isTTY ? `\u001b[2m${text}\u001b[0m` : text)
const bold = (text: string) => (process.stdout.isTTY ? `\u001b[1m${text}\u001b[0m` : text)

function oneLine(value: unknown, max = 160): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const flat = (text ?? '').replaceAll(/\s+/g, ' ').trim()
  return flat.length > max ? `${flat.slice(0, max)}…` : flat
}

function summary({ type, data }: TaskEvent): string {
  switch (type) {
    case 'task.leased':
      return `pod ${data.pod}`
    case 'task.finished':
      return [
        data.status,
        data.error_code,
        data.error,
        data.cost_usd ? `$${Number(data.cost_usd).toFixed(4)}` : '',
        `${data.duration_ms ?? '?'} ms`,
      ]
        .filter(Boolean)
        .join(', ')
    case 'agent.started':
      return oneLine([data.provider, data.model, data.provider_session_id].filter(Boolean).join(', '))
    case 'message.assistant':
    case 'message.thinking':
    case 'message.user':
    case 'output':
      return oneLine(data.text)
    case 'tool.started':
      return `${data.name} ${oneLine(data.input)}`
    case 'tool.finished':
      return `${data.is_error ? 'error: ' : ''}${oneLine(data.output)}`
    default:
      return oneLine(data)
  }
}

export function printEvent(event: TaskEvent): void {
  console.log(`${dim(event.time.slice(11, 23))} ${String(event.seq).padStart(3)} ${bold(event.type.padEnd(18))} ${summary(event)}`)
}
