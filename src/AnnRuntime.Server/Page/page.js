'use strict';
const $ = id => document.getElementById(id);
const percent = share => share == null ? '–' : (100 * share).toFixed(1) + ' %';
const chosen = name => document.querySelector(`input[name=${name}]:checked`).value;
const headers = () => ({ 'Content-Type': 'application/json', ...($('key').value ? { Authorization: 'Bearer ' + $('key').value } : {}) });

let canSearch = true;
let conversation = []; // messages as the server takes them
let tokens = []; // {span, heat} of the prompt and the answer in the text
let steps = []; // {token, retrieval} of each token of the answer
let follow = true; // whether the newest token is the one shown
let layer = null; // the layer whose tokens are shown; null: all
let dense = false; // whether the answer attends to all cells
let abort = null, frame = 0;

// ---- what was retrieved ----------------------------------------------------------------------------------------------

function addToken(text, isAnswer) {
  const span = document.createElement('span');
  span.textContent = text;
  span.title = 'token ' + tokens.length;
  if (isAnswer) span.className = 'answer';
  tokens.push({ span, heat: 0 });
  $('text').append(span);
}

function mean(values) {
  const known = values.filter(value => value != null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

// the layers of one token, or of all: {layer, counts: position -> times, of, mass, recall}
function picture() {
  const from = $('whole').checked ? steps : [steps[Number($('step').value)]];
  return from[0].retrieval.layers.map((first, index) => {
    const all = from.map(step => step.retrieval.layers[index]), counts = new Map();
    for (const one of all) for (const position of one.positions) counts.set(position, (counts.get(position) || 0) + 1);
    return { layer: first.layer, counts, of: from.length, mass: mean(all.map(one => one.mass)), recall: mean(all.map(one => one.teacher_recall)) };
  });
}

function layerRow(index) {
  const body = $('layers').tBodies[0];
  if (body.rows[index]) return body.rows[index];
  const row = body.insertRow(), button = document.createElement('button'), canvas = document.createElement('canvas');
  button.type = 'button';
  button.setAttribute('aria-pressed', 'false');
  button.addEventListener('click', () => { layer = layer === index ? null : index; draw(); });
  row.insertCell().append(button);
  canvas.setAttribute('role', 'img');
  canvas.addEventListener('click', event => {
    const length = steps[steps.length - 1].retrieval.position + 1;
    const at = Math.min(length - 1, Math.floor(event.offsetX / canvas.clientWidth * length)), box = $('text');
    follow = false;
    box.scrollTop += tokens[at].span.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 2;
  });
  row.insertCell().append(canvas);
  row.insertCell();
  row.insertCell();
  return row;
}

function drawLayer(row, shown, isChosen, length) {
  const [button, canvas] = [row.cells[0].firstChild, row.cells[1].firstChild];
  button.textContent = shown.layer;
  button.setAttribute('aria-label', 'Layer ' + shown.layer);
  button.setAttribute('aria-pressed', String(isChosen));
  canvas.width = Math.max(1, Math.min(length, Math.round(canvas.clientWidth * devicePixelRatio) || 600));
  canvas.height = 1;
  const ink = canvas.getContext('2d'), columns = new Float32Array(canvas.width);
  for (const [position, count] of shown.counts) {
    const left = Math.floor(position * canvas.width / length), right = Math.max(left + 1, Math.floor((position + 1) * canvas.width / length));
    for (let column = left; column < right; column++) columns[column] = Math.max(columns[column], count / shown.of);
  }
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  columns.forEach((share, column) => {
    if (share === 0) return;
    ink.fillStyle = dark ? `rgba(251, 146, 60, ${.35 + .65 * share})` : `rgba(194, 65, 12, ${.35 + .65 * share})`;
    ink.fillRect(column, 0, 1, 1);
  });
  const known = shown.counts.size;
  canvas.setAttribute('aria-label', dense
    ? `all ${length} tokens attended to; search would have retrieved ${known}` : `${known} of ${length} tokens retrieved`);
  row.cells[2].textContent = percent(shown.mass);
  row.cells[3].textContent = percent(shown.recall);
}

// tokens come faster than a screen shows them
function draw() {
  frame ||= requestAnimationFrame(() => { frame = 0; render(); });
}

function render() {
  if (!steps.length) return;
  const step = Number($('step').value), shown = picture(), length = steps[$('whole').checked ? steps.length - 1 : step].retrieval.position + 1;
  $('layers').hidden = $('text').hidden = $('textTitle').hidden = $('stepRow').hidden = $('legend').hidden = false;
  $('hint').hidden = true;
  $('wouldBe').hidden = !dense;
  shown.forEach((one, index) => drawLayer(layerRow(index), one, layer === index, length));
  const visible = layer == null ? shown : [shown[layer]], heat = new Float32Array(tokens.length);
  for (const one of visible) for (const [position, count] of one.counts) heat[position] += count / one.of / visible.length;
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  tokens.forEach((token, index) => {
    if (token.heat === heat[index]) return;
    token.heat = heat[index];
    token.span.style.background = token.heat === 0 ? '' : dark ? `rgba(194, 80, 12, ${.1 + .7 * token.heat})` : `rgba(255, 146, 43, ${.15 + .8 * token.heat})`;
  });
  document.querySelector('#text .now')?.classList.remove('now');
  if (!$('whole').checked) tokens[length]?.span.classList.add('now'); // the token that this search chose
  $('stepText').textContent = $('whole').checked ? `all ${steps.length}` : `${step + 1} of ${steps.length}: ${JSON.stringify(steps[step].token)}`;
  $('mass').textContent = percent(mean(shown.map(one => one.mass)));
  $('recall').textContent = percent(mean(shown.map(one => one.recall)));
  if (follow) $('text').scrollTop = $('text').scrollHeight;
}

function addStep(token, retrieval) {
  follow = Number($('step').value) >= steps.length - 1;
  steps.push({ token, retrieval });
  $('step').max = steps.length - 1;
  if (follow) $('step').value = steps.length - 1;
  draw();
}

function forgetRetrieval() {
  tokens = []; steps = [];
  $('text').replaceChildren();
  $('step').max = $('step').value = 0;
  for (const id of ['layers', 'text', 'textTitle', 'stepRow', 'legend']) $(id).hidden = true;
  for (const id of ['speed', 'first', 'promptTokens', 'cached', 'mass', 'recall', 'used']) $(id).textContent = '–';
  $('hint').hidden = false;
}

// ---- the conversation ------------------------------------------------------------------------------------------------

function addMessage(role, text) {
  const message = document.createElement('div'), by = document.createElement('span'), body = document.createElement('span');
  message.className = 'message ' + role;
  message.tabIndex = 0; // long ones scroll
  by.className = 'by';
  by.textContent = role === 'user' ? 'You' : 'Model';
  body.textContent = text;
  message.append(by, body);
  $('messages').append(message);
  $('messages').scrollTop = $('messages').scrollHeight;
  return { append(more) { body.textContent += more; $('messages').scrollTop = $('messages').scrollHeight; },
    note(text) { const small = document.createElement('small'); small.textContent = text; message.append(small); } };
}

function ask(kind, text) {
  const watch = canSearch && $('watch').checked;
  const ann = canSearch ? { mode: chosen('mode'), top_k: Number($('topk').value) || undefined, observe: watch } : undefined;
  const common = { stream: true, max_tokens: Number($('count').value) || 64, temperature: 0, ann };
  return fetch(kind === 'chat' ? '/v1/chat/completions' : '/v1/completions', {
    method: 'POST', headers: headers(), signal: abort.signal,
    body: JSON.stringify(kind === 'chat' ? { ...common, messages: conversation } : { ...common, prompt: text }) });
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ''; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n\n');
    rest = parts.pop();
    for (const part of parts) if (part !== 'data: [DONE]') yield JSON.parse(part.slice('data: '.length));
  }
}

function take(chunk, message, clock) {
  if (chunk.error) throw new Error(chunk.error.message);
  const ann = chunk.ann || {}, text = (chunk.choices || []).map(choice => choice.text || choice.delta?.content || '').join('');
  if (ann.prompt) ann.prompt.forEach(piece => addToken(piece, false));
  if (text || ann.token != null) {
    clock.first ??= performance.now();
    if (++clock.count > 1) $('speed').textContent = (1000 * (clock.count - 1) / (performance.now() - clock.first)).toFixed(1);
    $('first').textContent = Math.round(clock.first - clock.start) + ' ms';
  }
  if (text) message.append(text);
  if (ann.token != null) {
    addToken(ann.token, true);
    if (ann.retrieval) addStep(ann.token, ann.retrieval);
  }
  if (ann.mode) $('used').textContent = ann.mode === 'exact' ? 'K ' + ann.top_k : 'all';
  if (chunk.timings) {
    const { prompt_n, cache_n, predicted_n, predicted_per_second } = chunk.timings;
    $('speed').textContent = predicted_per_second.toFixed(1);
    $('promptTokens').textContent = prompt_n + cache_n;
    $('cached').textContent = cache_n;
    message.note(`${predicted_n} tokens, ${predicted_per_second.toFixed(1)} tokens/s, ${ann.mode === 'exact' ? 'search with K ' + ann.top_k : 'all cells'}, first token after ${$('first').textContent}`);
  }
}

async function send(event) {
  event.preventDefault();
  const kind = chosen('kind'), text = $('prompt').value;
  $('error').textContent = '';
  forgetRetrieval();
  dense = chosen('mode') === 'dense';
  if (kind === 'text') { conversation = []; }
  conversation.push({ role: 'user', content: text });
  addMessage('user', text);
  $('prompt').value = '';
  const message = addMessage('assistant', ''), clock = { start: performance.now(), first: null, count: 0 };
  let answer = '';
  $('send').disabled = $('example').disabled = $('clear').disabled = true;
  $('stop').disabled = false;
  abort = new AbortController();
  try {
    const response = await ask(kind, text);
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const chunk of events(response)) {
      take(chunk, message, clock);
      answer += (chunk.choices || []).map(choice => choice.text || choice.delta?.content || '').join('');
    }
  } catch (error) {
    if (error.name === 'AbortError') message.note('stopped');
    else { $('error').textContent = error.message; conversation.pop(); $('prompt').value ||= text; }
  } finally {
    if (answer) conversation.push({ role: 'assistant', content: answer });
    $('send').disabled = $('example').disabled = $('clear').disabled = false;
    $('stop').disabled = true;
  }
}

async function example() {
  $('error').textContent = '';
  const response = await fetch('/example?tokens=1500&seed=' + Math.floor(Math.random() * 1e6), { headers: headers() });
  const body = await response.json();
  if (!response.ok) { $('error').textContent = body.error.message; return; }
  // in a chat, the template asks for the answer
  $('prompt').value = chosen('kind') === 'chat' ? body.prompt.replace(/\nAnswer:$/, '') : body.prompt;
  $('prompt').focus();
}

async function describe() {
  const response = await fetch('/v1/models', { headers: headers() });
  $('keyRow').hidden = response.status !== 401 && !$('key').value;
  if (!response.ok) { $('model').textContent = (await response.json()).error.message; return; }
  const model = (await response.json()).data[0], layers = model.meta.searched_layers.length;
  canSearch = model.meta.ann_mode !== 'off' && layers > 0;
  for (const input of [...document.getElementsByName('mode'), $('topk'), $('watch')]) input.disabled = !canSearch;
  if (model.meta.ann_mode === 'dense') document.querySelector('input[name=mode][value=dense]').checked = true;
  $('topk').placeholder = model.meta.ann_top_k ?? '';
  $('model').textContent = `${model.id}: ${model.meta.n_ctx} tokens, ${layers} searched layers${canSearch ? '' : ', search is off'}`;
}

$('form').addEventListener('submit', send);
$('prompt').addEventListener('keydown', event => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('form').requestSubmit(); });
$('stop').addEventListener('click', () => abort?.abort());
$('clear').addEventListener('click', () => { conversation = []; $('messages').replaceChildren(); $('error').textContent = ''; forgetRetrieval(); $('prompt').focus(); });
$('example').addEventListener('click', example);
$('step').addEventListener('input', () => { $('whole').checked = follow = false; draw(); });
$('whole').addEventListener('change', draw);
$('key').addEventListener('change', describe);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { tokens.forEach(token => { token.heat = -1; }); draw(); });
describe();
