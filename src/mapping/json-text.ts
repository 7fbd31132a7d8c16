// Everything that JSON writes as it is; the rest (quotes, backslashes, control characters) is left to JSON.stringify.
const needsEscape = /[^ !#-[\]-\uffff]/

/**
 * A string as JSON text. Most strings need no escape: to look and to add the quotes takes half the time of
 * JSON.stringify (40 ns against 77 ns at 30 characters); from some hundred characters on, JSON.stringify is as fast.
 */
export function quote(text: string): string {
  return text.length < 200 && !needsEscape.test(text) ? `"${text}"` : JSON.stringify(text)
}

/** JSON text without whitespace between its tokens: `json` columns keep the user's line breaks, JSONL allows none. */
export function compactJson(text: string): string {
  if (!/[ \t\r\n]/.test(text)) return text
  let compact = ''
  let position = 0
  for (;;) {
    const open = text.indexOf('"', position)
    if (open < 0) return compact + withoutSpace(text.slice(position))
    const close = closingQuote(text, open)
    compact += withoutSpace(text.slice(position, open)) + text.slice(open, close + 1)
    position = close + 1
  }
}

function withoutSpace(text: string): string {
  return text.replace(/[ \t\r\n]+/g, '')
}

function closingQuote(text: string, open: number): number {
  let position = open + 1
  while (position < text.length && text.charCodeAt(position) !== quoteCode) {
    position += text.charCodeAt(position) === backslashCode ? 2 : 1
  }
  return position
}

const quoteCode = 0x22
const backslashCode = 0x5c
