// What `npm start` says when everything runs. The admin key is shown only on a terminal: output that goes to a file or a log is read by others
// and kept, so it says where the key is and how a shell gets it from there.

export interface Welcome {
  readonly url: string
  readonly adminKey: string
  /** The file with the key; undefined: it came from RDEV_ADMIN_KEY. */
  readonly keyFile: string | undefined
  /** Whether a person reads this. */
  readonly terminal: boolean
  /** The task that was shown; null: none. */
  readonly taskId: string | null
}

export function welcome({ url, adminKey, keyFile, terminal, taskId }: Welcome): readonly string[] {
  const key = terminal ? adminKey : '$RDEV_ADMIN_KEY'
  const head = `curl -sN -H "Authorization: Bearer ${key}"`
  const json = `-H 'Content-Type: application/json'`
  const elsewhere =
    keyFile === undefined
      ? ['The admin key is the value of RDEV_ADMIN_KEY.\n']
      : [
          `The admin key is \`adminKey\` in ${keyFile}; for a shell:\n`,
          `  RDEV_ADMIN_KEY=$(sed -n 's/.*"adminKey": "\\(.*\\)".*/\\1/p' '${keyFile}')\n`,
        ]
  return [
    `The API is at ${url} (reference: ${url}/docs)`,
    ...(terminal ? [`Admin key: ${adminKey}\n`] : elsewhere),
    'Try:\n',
    ...(taskId === null ? [] : [`  ${head} "${url}/v1/tasks/${taskId}/events?after=2" -H 'Accept: text/event-stream'\n`]),
    `  ${head} "${url}/v1/projects/demo/shell" ${json} -d '{"command":"git log --oneline && npm test"}'\n`,
    `  ${head} "${url}/v1/projects/demo/opencode" ${json} -d '{"prompt":"What does this repository do?"}'\n`,
    'The shell and opencode forms answer with a task; read its events at its events_url.',
    'Ctrl-C stops everything; the data stays.',
  ]
}
