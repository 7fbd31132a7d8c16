/**
 * An array in Postgres' text format → a JSON array, nested as it is there; lower bounds (`[0:1]={…}`) are left out. The
 * text is read once, from left to right, and no value is built.
 * @see https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
 */
export function arrayEncoder(encodeElement: (text: string) => string, delimiter: string): (text: string) => string {
  const delimiterCode = delimiter.charCodeAt(0)

  return (text) => {
    let json = ''
    let position = text.startsWith('[') ? text.indexOf('=') + 1 : 0
    while (position < text.length) {
      const code = text.charCodeAt(position)
      if (code === openBrace) {
        json += '['
        position++
      } else if (code === closeBrace) {
        json += ']'
        position++
      } else if (code === delimiterCode) {
        json += ','
        position++
      } else if (code === quoteCode) {
        let escaped = false
        let end = position + 1
        for (; end < text.length; end++) {
          const inner = text.charCodeAt(end)
          if (inner === quoteCode) break
          if (inner === backslash) {
            escaped = true
            end++
          }
        }
        const element = text.slice(position + 1, end)
        json += encodeElement(escaped ? element.replace(/\\(.)/gs, '$1') : element)
        position = end + 1
      } else {
        let end = position + 1
        for (; end < text.length; end++) {
          const inner = text.charCodeAt(end)
          if (inner === delimiterCode || inner === closeBrace) break
        }
        const element = text.slice(position, end)
        // Only SQL's null is written without quotes.
        json += element === 'NULL' ? 'null' : encodeElement(element)
        position = end
      }
    }
    return json
  }
}

const openBrace = 0x7b
const closeBrace = 0x7d
const quoteCode = 0x22
const backslash = 0x5c
