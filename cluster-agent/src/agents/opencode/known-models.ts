// The models that tasks name by their short names, as the pinned OpenCode lists them. With its whole list, 2 MB of all providers, it takes 2.5 s of
// processor more until the first answer. known-models.live.test.ts compares both.

const dated = (release_date: string, knowledge: string) => ({ release_date, last_updated: release_date, knowledge })

const usual = {
  attachment: true,
  reasoning: true,
  reasoning_options: [{ type: 'budget_tokens', min: 1024 }],
  tool_call: true,
  structured_output: true,
  temperature: true,
  modalities: { input: ['text', 'image', 'pdf'], output: ['text'] },
  open_weights: false,
}

const models = {
  'claude-haiku-4-5': {
    ...usual,
    ...dated('2025-10-15', '2025-02-28'),
    id: 'claude-haiku-4-5',
    name: 'Claude Haiku 4.5 (latest)',
    family: 'claude-haiku',
    limit: { context: 200_000, output: 64_000 },
    cost: { input: 1, output: 5, cache_read: 0.1, cache_write: 1.25 },
  },
  'claude-opus-4-5': {
    ...usual,
    ...dated('2025-11-24', '2025-05'),
    id: 'claude-opus-4-5',
    name: 'Claude Opus 4.5 (latest)',
    family: 'claude-opus',
    reasoning_options: [{ type: 'effort', values: ['low', 'medium', 'high'] }, ...usual.reasoning_options],
    limit: { context: 200_000, output: 64_000 },
    cost: { input: 5, output: 25, cache_read: 0.5, cache_write: 6.25 },
  },
  'claude-sonnet-4-5': {
    ...usual,
    ...dated('2025-09-29', '2025-07-31'),
    id: 'claude-sonnet-4-5',
    name: 'Claude Sonnet 4.5 (latest)',
    family: 'claude-sonnet',
    limit: { context: 1_000_000, output: 64_000 },
    cost: { input: 3, output: 15, cache_read: 0.3, cache_write: 3.75 },
  },
}

export const knownModels = {
  anthropic: { id: 'anthropic', env: ['ANTHROPIC_API_KEY'], npm: '@ai-sdk/anthropic', name: 'Anthropic', models },
}

export const isKnownModel = ({ providerID, modelID }: { providerID: string; modelID: string }): boolean =>
  providerID === 'anthropic' && Object.hasOwn(models, modelID)
