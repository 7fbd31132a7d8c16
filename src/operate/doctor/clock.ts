import { failure, ok, type Verdict, warning } from './finding.js'
import { durationText } from './words.js'

/** Beyond it times in the side tables cannot be compared any more. */
const noticeableMs = 5_000
/** Webhooks that are older or newer than this are refused. */
const toleratedMs = 300_000

/** @param offsetMs how far the other clock is ahead of this machine's, and `uncertainMs` how much that may be off. */
export function clockVerdict(whose: string, offsetMs: number, uncertainMs: number): Verdict {
  const off = Math.abs(offsetMs) - uncertainMs
  if (off <= noticeableMs) return ok(`${whose} clock and this machine's agree`)
  const found = `${whose} clock is ${durationText(Math.abs(offsetMs) / 1_000)} ${offsetMs > 0 ? 'ahead of' : 'behind'} this machine's`
  const fix = [{ do: 'Let both machines take their time from NTP (timedatectl set-ntp true).' }]
  return off > toleratedMs ? failure(found, fix) : warning(found, fix)
}
