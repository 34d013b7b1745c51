import type { V1Pod } from '@kubernetes/client-node'
import { podLabels } from '@rdev/shared/domain/pod'
import { describe, expect, test } from 'vitest'
import { podOf } from './inventory.ts'

function setup(labels: Record<string, string>, change: (pod: V1Pod) => void = () => {}) {
  const pod: V1Pod = {
    metadata: { name: 'a', uid: 'u1', labels },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
  }
  change(pod)
  return podOf(pod)
}

describe('a pod of Kubernetes as the agent sees it', () => {
  test('a project pod names its project', () => {
    expect(setup({ [podLabels.project]: 'true', [podLabels.projectId]: 'shop' })).toEqual({
      name: 'a',
      uid: 'u1',
      role: 'project',
      project_id: 'shop',
      ready: true,
      slots: 4,
      providers: ['claude-code', 'opencode'],
      allow_bypass_permissions: false,
    })
  })

  test('a label that is no id of a project names none', () => {
    for (const label of ['Shop', 'a_b', 'a.b'])
      expect(setup({ [podLabels.project]: 'true', [podLabels.projectId]: label })).toMatchObject({ role: 'project', project_id: null })
  })

  test('a worker belongs to no project, whatever its other labels', () => {
    expect(setup({ [podLabels.role]: 'worker', [podLabels.projectId]: 'shop' })).toMatchObject({ role: 'worker', project_id: null })
  })

  test('a pod with both labels is a project’s, and one with neither is left out', () => {
    expect(setup({ [podLabels.role]: 'worker', [podLabels.project]: 'true' })).toMatchObject({ role: 'project' })
    expect(setup({ [podLabels.role]: 'database', [podLabels.project]: 'false' })).toBeUndefined()
  })

  test.each([
    ['7', 7],
    ['0', 0],
    ['-1', 4],
    ['2.5', 4],
    ['many', 4],
    ['100000', 4],
  ])('slots %s are %i', (label, slots) => {
    expect(setup({ [podLabels.role]: 'worker', [podLabels.slots]: label })).toMatchObject({ slots })
  })

  test('only the label value true allows bypassPermissions', () => {
    const allowed = (label: string) => setup({ [podLabels.role]: 'worker', [podLabels.bypass]: label })?.allow_bypass_permissions
    expect([allowed('true'), allowed('false'), allowed('yes')]).toEqual([true, false, false])
  })

  test('only the label value true trusts the settings of repositories', () => {
    const trusted = (label: string) => setup({ [podLabels.role]: 'worker', [podLabels.trust]: label })?.trust_repository_settings
    expect([trusted('true'), trusted('false'), trusted('1')]).toEqual([true, undefined, undefined])
  })

  test.each<[string, (pod: V1Pod) => void]>([
    ['it is being deleted', (pod) => (pod.metadata!.deletionTimestamp = new Date(0))],
    ['its containers are not ready', (pod) => (pod.status!.conditions = [{ type: 'Ready', status: 'False' }])],
    ['nothing is known of it yet', (pod) => delete pod.status],
  ])('it is not ready when %s', (_, change) => {
    expect(setup({ [podLabels.role]: 'worker' }, change)).toMatchObject({ ready: false })
  })

  test.each(['Failed', 'Succeeded'])('a pod that has %s is gone once its containers have terminated, and not before', (phase) => {
    const withState = (state: object) =>
      setup({ [podLabels.role]: 'worker' }, (pod) => {
        pod.status = {
          ...pod.status,
          phase,
          containerStatuses: [{ name: 'box', image: '', imageID: '', ready: false, restartCount: 0, state }],
        }
      })
    expect(withState({ terminated: { exitCode: 143 } })).toBeUndefined()
    expect(withState({ running: {} })).toMatchObject({ ready: false })
    expect(withState({ waiting: {} })).toMatchObject({ ready: false })
  })
})
