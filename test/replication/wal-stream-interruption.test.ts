import { describe, expect, test } from 'vitest'
import { soon } from '../support/soon.js'
import { Recorder } from './recorder.js'
import { streamRig } from './stream-rig.js'

const rig = streamRig()

describe('an interruption', () => {
  test('a terminated backend is replaced, and nothing is lost', async () => {
    await rig.createSlot()
    const recorder = new Recorder()
    rig.open(recorder)
    for (let round = 0; round < 3; round++) {
      await rig.insert(round * 10, round * 10 + 9)
      await soon(() => expect(recorder.ids.size).toBe(round * 10 + 10))
      await rig.terminateReader()
      await soon(() => expect(recorder.starts).toBe(round + 2))
    }
  })

  test('a broken connection is made again, even one that breaks within a message', async () => {
    await rig.createSlot()
    const through = await rig.proxy()
    const recorder = new Recorder({ settle: () => false })
    rig.open(recorder, { connection: { connectionString: through.url(rig.db.url) } })
    await soon(() => expect(recorder.starts).toBe(1))
    for (let round = 1; round <= 3; round++) {
      await rig.insert(round * 10_000, round * 10_000 + 9_999)
      through.cut()
      await soon(() => expect(recorder.ids.size).toBe(round * 10_000))
    }
    expect(recorder.starts).toBeGreaterThan(1)
  })

  test('a server that falls silent is noticed, and read again once it speaks', async () => {
    await rig.createSlot()
    const through = await rig.proxy()
    const recorder = new Recorder()
    const stream = rig.open(recorder, {
      connection: { connectionString: through.url(rig.db.url) },
      timings: {
        startTimeoutMs: 1_000,
        retryMaxMs: 200,
        liveness: { statusIntervalMs: 100, pingAfterMs: 100, deadAfterMs: 1_000 },
      },
    })
    await soon(() => expect(recorder.starts).toBe(1))
    through.blackHole()
    await soon(() => expect(stream.status.lastError).not.toBeNull())
    expect(stream.status.lastError).toMatchObject({ code: 'STREAM_BROKEN', retryable: true })
    await rig.insert(1, 5)
    // While it is silent, starting fails in time as well.
    await soon(() => expect(stream.status.lastError).toMatchObject({ code: 'DATABASE_UNREACHABLE' }))
    through.heal()
    // The server still holds the slot for the connection that it did not see end.
    await rig.terminateReader()
    await soon(() => expect(recorder.ids.size).toBe(5))
    expect(stream.status).toMatchObject({ phase: 'streaming', lastError: null })
  })

  test('a silence of our own making, a long pause, is not taken for a dead server', async () => {
    await rig.createSlot()
    const recorder = new Recorder()
    const stream = rig.open(recorder, {
      timings: { liveness: { statusIntervalMs: 50, pingAfterMs: 50, deadAfterMs: 300 } },
    })
    await soon(() => expect(recorder.starts).toBe(1))
    stream.pause()
    await rig.insert(1, 1)
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    stream.resume()
    await soon(() => expect(recorder.ids.size).toBe(1))
    expect(recorder.starts).toBe(1)
  })

  test('a server that cannot be reached is tried again until it can', async () => {
    await rig.createSlot()
    const through = await rig.proxy()
    through.refuse()
    const recorder = new Recorder()
    const stream = rig.open(recorder, {
      connection: { connectionString: through.url(rig.db.url) },
      timings: { retryMaxMs: 100 },
    })
    await soon(() => expect(stream.status.failures).toBeGreaterThan(3))
    expect(recorder.starts).toBe(0)
    through.heal()
    await soon(() => expect(recorder.starts).toBe(1))
  })

  test('a slow line delivers all the same', async () => {
    await rig.createSlot()
    const through = await rig.proxy()
    through.delay(50)
    const recorder = new Recorder()
    rig.open(recorder, { connection: { connectionString: through.url(rig.db.url) } })
    await rig.insert(1, 2_000)
    await soon(() => expect(recorder.ids.size).toBe(2_000))
  })

  test('a second reader waits for the slot as a standby, and takes over with nothing lost', async () => {
    await rig.createSlot()
    const active = new Recorder()
    const stream = rig.open(active)
    await rig.insert(1, 5)
    await soon(() => expect(active.ids.size).toBe(5))
    const standby = new Recorder()
    const waiting = rig.open(standby, { timings: { retryMaxMs: 100 } })
    await soon(() => expect(waiting.status.failures).toBeGreaterThan(2))
    expect(waiting.status.lastError).toMatchObject({ code: 'SLOT_IN_USE', retryable: true })
    await stream.stop()
    await rig.insert(6, 9)
    await soon(() => expect(standby.ids.size).toBe(4))
  })
})
