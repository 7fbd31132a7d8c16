import { expect } from 'vitest'
import type { Rig } from '../support/pipeline.js'

interface Known {
  readonly namespace: string
  readonly object_id: string
  readonly request_id: string | null
}

/**
 * The side tables say what SafetyKit has: each object under the request that it was last accepted in, each request, and
 * each object of each request. No object was in two requests at once.
 */
export async function expectComplete(rig: Rig): Promise<void> {
  const objects = await rig.side<Known>('objects', 'request_id IS NOT NULL')
  const requests = await rig.side<{ request_id: string; object_count: number }>('requests')
  const submissions = await rig.side<Known>('submissions')
  const accepted = rig.emulator.requests()
  const stored = rig.emulator.namespaces().flatMap((namespace) =>
    [...rig.emulator.objects(namespace).values()].map(({ id }) => ({
      namespace,
      id,
      history: rig.emulator.history(namespace, id).map(({ requestId }) => requestId),
    })),
  )
  const sorted = (lines: string[]): string[] => lines.sort()
  expect(sorted(objects.map((row) => `${row.namespace}/${row.object_id} ${row.request_id}`))).toEqual(
    sorted(stored.map(({ namespace, id, history }) => `${namespace}/${id} ${history.at(-1)}`)),
  )
  expect(sorted(requests.map((row) => `${row.request_id} ${row.object_count}`))).toEqual(
    sorted(accepted.map(({ requestId, objectCount }) => `${requestId} ${objectCount}`)),
  )
  expect(sorted(submissions.map((row) => `${row.namespace}/${row.object_id} ${row.request_id}`))).toEqual(
    sorted(stored.flatMap(({ namespace, id, history }) => history.map((request) => `${namespace}/${id} ${request}`))),
  )
  expect(rig.emulator.violations).toEqual([])
}
