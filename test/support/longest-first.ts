import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Takes minutes: begun last, it would run alone at the end. */
const longest = /\/faults\/backfill-killed\.test\.ts$/

/** Vitest's own order, but that the longest file begins first. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLongest = ({ moduleId }: TestSpecification): boolean => longest.test(moduleId)
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))]
  }
}
