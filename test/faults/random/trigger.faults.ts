import { test } from 'vitest'
import { faults, run, seed } from './run.js'

test(`two workers share the keys that triggers leave, seed ${seed}: whatever happens, nothing is lost and nothing overtakes`, async () => {
  await run('trigger', Math.floor(faults / 3))
})
