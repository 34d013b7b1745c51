/**
 * What an agent may do in its pod if nothing else was asked: read, edit, run commands, look things up. The pod is the wall; without this a
 * headless run would be denied its first command. A prompt that remains is denied at once (`-p` has nobody to ask), never waited for.
 */
export const usualTools = [
  'Bash',
  'Edit',
  'Write',
  'NotebookEdit',
  'Read',
  'Glob',
  'Grep',
  'WebFetch',
  'WebSearch',
  'Task',
  'Agent',
  'Skill',
]
