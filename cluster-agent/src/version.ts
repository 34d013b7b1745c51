import about from '../package.json' with { type: 'json' }

export const agentVersion = about.version
