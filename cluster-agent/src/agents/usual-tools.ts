/**
 * What an agent may do in its pod if the task names no tools: read, edit, run commands, look things up. The pod is the boundary. Without this list
 * a run without a person would be denied its first command. Other tools are denied at once, because `-p` has nobody to ask.
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
