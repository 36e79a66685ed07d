"""The component that shows the tokens of an answer, one of which has the focus and a tooltip.

The texts of tokens come from a model: the script writes them as text only, never as HTML.
"""

import math
from collections.abc import Sequence

import streamlit as st

from core.evaluation.generation.sampling import Token

STRONGEST = -6.0  # log-probability at which a background is darkest
DARKEST = 60  # % of the colour in the darkest background, on which text still has enough contrast
LEAST = -99.0  # stands for log-probabilities of minus infinity, which JSON lacks

CSS = """
.answer { position: relative; font-family: var(--st-font); color: var(--st-text-color); line-height: 1.9; }
.tokens { white-space: pre-wrap; overflow-wrap: anywhere; min-height: 1.9em; }
.token {
  padding: 2px 0; border-radius: 3px; cursor: default;
  background: color-mix(in srgb, #d55e00 var(--share), transparent);
}
.token:focus { outline: 2px solid var(--st-text-color); outline-offset: 1px; }
.token.differs { border: 2px solid var(--st-text-color); padding: 0 3px; margin: 0 2px; font-weight: 700; }
.tooltip {
  position: absolute; z-index: 10; max-width: 100%; padding: 8px 10px; border-radius: 6px; font-size: 14px;
  line-height: 1.4; background: var(--st-background-color); border: 1px solid var(--st-text-color);
}
.tooltip table { border-collapse: collapse; margin-top: 4px; }
.tooltip td { padding: 0 12px 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.tooltip td:last-child { padding: 0; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tooltip .chosen { font-weight: 700; }
[hidden] { display: none; }
"""

# The script runs again for new data; it adds the new tokens, so that the one in focus keeps it.
JS = """
const UNSEEN = { "": "(part of a character)", " ": "(space)", "\\n": "(line break)", "\\n\\n": "(empty line)" }
const INVISIBLE = /^[\\s\\p{Cf}\\p{Cc}]+$/u
const code = letter => "U+" + letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")
const named = text => UNSEEN[text] ?? (INVISIBLE.test(text) ? `(${[...text].map(code).join(" ")})` : text)
const shown = token => {
  if (token.ends) return "\\u25a0"
  if (token.text === "") return "\\u00b7"
  const hidden = INVISIBLE.test(token.text)
  const text = hidden ? token.text.replaceAll(/[^\\n]/gu, "\\u2423") : token.text
  return text.replaceAll("\\n", "\\u21b5\\n")
}
const called = token => token.ends ? "(end of the answer)" : named(token.text)
const percent = logprob => {
  const share = 100 * Math.exp(logprob)
  return (share < 0.1 ? "< 0.1" : share.toFixed(1)) + " %"
}
const element = (kind, name, text) => {
  const made = document.createElement(kind)
  made.className = name
  if (text !== undefined) made.textContent = text
  return made
}

const build = parent => {
  const root = element("div", "answer"), list = element("div", "tokens"), tooltip = element("div", "tooltip")
  const state = { root, list, tooltip, tokens: [], spans: [], at: 0, number: null }
  tooltip.id = "likeliest"
  tooltip.setAttribute("role", "tooltip")
  tooltip.hidden = true
  root.append(list, tooltip)
  parent.append(root)
  list.addEventListener("keydown", event => {
    const last = state.spans.length - 1
    const to = {
      ArrowRight: Math.min(state.at + 1, last), ArrowDown: Math.min(state.at + 1, last),
      ArrowLeft: Math.max(state.at - 1, 0), ArrowUp: Math.max(state.at - 1, 0), Home: 0, End: last,
    }[event.key]
    if (event.key === "Escape") hide(state)
    if (to === undefined) return
    event.preventDefault()
    state.spans[to].focus()
  })
  root.addEventListener("mouseleave", () => hide(state))
  root.addEventListener("focusout", () => hide(state))
  return state
}

const hide = state => {
  state.tooltip.hidden = true
  for (const span of state.spans) span.removeAttribute("aria-describedby")
}

const explain = (state, index) => {
  const token = state.tokens[index], span = state.spans[index], { tooltip, root } = state
  hide(state)
  const table = document.createElement("table")
  for (const [text, logprob] of token.likeliest) {
    const row = table.insertRow()
    row.className = text === token.text ? "chosen" : ""
    row.insertCell().textContent = named(text)
    row.insertCell().textContent = percent(logprob)
  }
  const chosen = `${called(token)}: log-probability ${token.logprob.toFixed(2)}, ${percent(token.logprob)}`
  tooltip.replaceChildren(element("div", "chosen", chosen), table)
  tooltip.hidden = false
  span.setAttribute("aria-describedby", tooltip.id)
  const outer = root.getBoundingClientRect(), lines = span.getClientRects(), place = lines[lines.length - 1]
  const left = Math.min(place.left - outer.left, outer.width - tooltip.offsetWidth)
  tooltip.style.left = `${Math.max(0, left)}px`
  tooltip.style.top = `${place.bottom - outer.top + 4}px`
}

const add = (state, index) => {
  const span = element("span", "token")
  span.setAttribute("role", "option")
  span.addEventListener("mouseenter", () => explain(state, index))
  span.addEventListener("focus", () => {
    state.spans[state.at].tabIndex = -1
    state.at = index
    span.tabIndex = 0
    explain(state, index)
  })
  span.tabIndex = index === 0 ? 0 : -1
  state.list.append(span)
  state.spans.push(span)
}

export default function ({ parentElement, data }) {
  const state = parentElement.answer ??= build(parentElement)
  if (state.number !== data.number) {
    hide(state)
    state.list.replaceChildren()
    Object.assign(state, { spans: [], at: 0, number: data.number })
  }
  if (data.tokens.length < state.spans.length) return  // of an earlier run of the page; an answer only grows
  state.tokens = data.tokens
  if (data.tokens.length) {
    state.list.setAttribute("role", "listbox")
    state.list.setAttribute("aria-label", data.label)
  }
  data.tokens.forEach((token, index) => {
    if (index === state.spans.length) add(state, index)
    const span = state.spans[index], differs = index === data.differs
    if (span.textContent !== shown(token)) span.textContent = shown(token)
    span.classList.toggle("differs", differs)
    span.style.setProperty("--share", `${token.share}%`)
    const mark = differs ? ", first difference from dense" : ""
    span.setAttribute("aria-label", `${called(token)}, ${percent(token.logprob)}${mark}`)
    span.setAttribute("aria-selected", "false")
  })
}
"""

_component = st.components.v2.component("slimscope_tokens", css=CSS, js=JS)


def show_tokens(key: str, label: str, number: int, tokens: Sequence[Token], differs: int | None) -> None:
    """Show the tokens of an answer so far, coloured by log-probability.

    `label` is the name of the answer for screen readers. Tokens of another question, by its `number`, replace all
    before. `differs` is the index of the first token that differs from the dense model's answer.
    """
    rows = [
        {
            "text": token.text,
            "logprob": max(token.logprob, LEAST),
            "share": share(token.logprob),
            "ends": token.ends,
            "likeliest": [[one.text, max(one.logprob, LEAST)] for one in token.likeliest],
        }
        for token in tokens
    ]
    _component(key=key, data={"number": number, "label": label, "tokens": rows, "differs": differs})


def share(logprob: float) -> int:
    """Return how much of the colour the background of a token has, in percent."""
    return 0 if math.isnan(logprob) else round(DARKEST * min(1.0, logprob / STRONGEST))
