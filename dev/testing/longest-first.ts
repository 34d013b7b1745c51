// The files that take longest begin first, so that no worker is left alone with one of them at the end. Vitest knows how long files took only
// where they ran before; on a fresh checkout it goes by their size, and those of the pods' contract are three lines.
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const longest = ['opencode.live', 'pods/local/host', 'postgres-stores', 'claude-code.live', 'testing/agent.test', 'e2e/02', 'e2e/07']

const place = ({ moduleId }: TestSpecification): number => {
  const found = longest.findIndex((part) => moduleId.includes(part))
  return found < 0 ? longest.length : found
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const projects = [...new Set(sorted.map(({ project }) => project.name))]
    return projects.flatMap((name) => sorted.filter(({ project }) => project.name === name).toSorted((a, b) => place(a) - place(b)))
  }
}
