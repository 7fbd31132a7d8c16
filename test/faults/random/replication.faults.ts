import { test } from 'vitest'
import { faults, run, seed } from './run.js'

test(`one sidecar and its standby read the WAL, seed ${seed}: whatever happens, nothing is lost and nothing overtakes`, async () => {
  await run('replication', Math.ceil((faults * 2) / 3))
})
