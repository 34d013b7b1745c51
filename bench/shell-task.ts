import type { Stack } from '../dev/stack.ts'

/** A shell task of the demo project, its stdout as a client reads it. */
export async function shellTask(stack: Stack, command: string, read: (text: string) => void): Promise<void> {
  const { id } = await stack.client.task({ kind: 'shell', project_id: 'demo', command })
  for await (const { type, data } of stack.client.events(id)) {
    if (type === 'output' && data.stream === 'stdout') read(String(data.text))
    // The time of a failed run means nothing.
    if (type === 'task.finished' && data.status !== 'succeeded') throw new Error(`a task did not succeed: ${JSON.stringify(data)}`)
  }
}
