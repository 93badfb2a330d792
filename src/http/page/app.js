// callbox's demo page: signs in, lists the online users, and makes and accepts calls with the
// client that the server serves to every page. State that tests read is in ids and data-
// attributes.

import { connect } from './callbox.js';

const $ = (id) => document.getElementById(id);
const metric = (name) => document.querySelector(`[data-metric="${name}"]`);
const query = new URLSearchParams(location.search);

const people = new Map();
let box = null;
let me = '';
let token = '';
let call = null;
let incoming = null;
let clock = 0;
let poll = 0;
let noticeTimer = 0;

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

function paintAvatar(element, name) {
  element.textContent = [...name][0] ?? '';
  let hash = 0;
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  element.dataset.hue = hash % 8;
}

function say(text) {
  $('announcer').textContent = text;
}

function notice(kind, text, forMs = 0) {
  clearTimeout(noticeTimer);
  $('notice').dataset.kind = kind;
  $('notice-text').textContent = text;
  $('notice').hidden = false;
  if (forMs) noticeTimer = setTimeout(quiet, forMs);
}

function quiet() {
  clearTimeout(noticeTimer);
  $('notice').hidden = true;
}

function show(view) {
  document.body.dataset.view = view;
  for (const name of ['sign-in', 'lobby', 'call']) $(`view-${name}`).hidden = name !== view;
  if (view === 'sign-in') $('name').focus();
  else $(`view-${view}`).focus({ preventScroll: true });
}

function title() {
  if (incoming) document.title = `${incoming.name} is calling – callbox`;
  else if (call) document.title = `${call.peerName} – callbox`;
  else document.title = me ? `${me} – callbox` : 'callbox';
}

function remember() {
  const url = new URL(location);
  if (me) url.searchParams.set('as', me);
  else url.searchParams.delete('as');
  if ($('relay-only').checked) url.searchParams.set('relay', '1');
  else url.searchParams.delete('relay');
  history.replaceState(null, '', url);
}

// -- Signing in --

async function fetchToken({ fresh }) {
  if (token && !fresh) return token;
  const response = await fetch('dev/token', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ userId: me }),
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error?.message ?? `The server refused (${response.status}).`);
  token = body.token;
  return token;
}

async function signIn(name) {
  me = name.trim();
  if (!me) return;
  $('sign-in').disabled = true;
  try {
    await fetchToken({ fresh: true });
  } catch (error) {
    me = '';
    notice('error', error instanceof TypeError ? 'The server cannot be reached. Is it running?' : error.message);
    return;
  } finally {
    $('sign-in').disabled = false;
  }
  quiet();
  remember();
  $('me-name').textContent = me;
  paintAvatar($('me-avatar'), me);
  $('account').hidden = false;
  $('connection').hidden = false;
  const other = me.toLowerCase() === 'bob' ? 'alice' : 'bob';
  $('second-name').textContent = other;
  $('second-tab').href = `?as=${other}`;

  connectionChanged('connecting');
  show('lobby');
  title();
  const asked = me;
  let connected;
  try {
    connected = await connect(new URL('.', location), { token: fetchToken });
  } catch (error) {
    signOut();
    notice('error', error.message);
    return;
  }
  // Signed out meanwhile.
  if (me !== asked || box) return connected.close();
  box = connected;
  listen();
  connectionChanged('connected');
  showServers(box.iceServers);
  refreshPeople();
}

function signOut() {
  call?.hangUp();
  declineIncoming();
  box?.close();
  box = null;
  clearTimeout(poll);
  me = token = '';
  people.clear();
  $('people').replaceChildren();
  $('account').hidden = $('connection').hidden = $('last-call').hidden = true;
  quiet();
  remember();
  title();
  show('sign-in');
}

function connectionChanged(state) {
  const before = $('connection').dataset.state;
  // State names of the style sheet.
  const now = { connected: 'online', connecting: 'connecting', reconnecting: 'offline' }[state];
  $('connection').dataset.state = now;
  $('connection-text').textContent = { online: 'Connected', connecting: 'Connecting', offline: 'Reconnecting' }[now];
  if (now === 'offline') {
    notice('warn', call ? 'The connection to the server was lost. Your call goes on while we reconnect.' : 'The connection to the server was lost. Reconnecting…');
  } else if (now === 'online' && before === 'offline') {
    quiet();
  }
}

// -- Online users --

async function refreshPeople() {
  clearTimeout(poll);
  const asked = box;
  try {
    let response = await fetch('dev/online', { headers: { authorization: `Bearer ${token}` } });
    if (response.status === 401) {
      await fetchToken({ fresh: true });
      response = await fetch('dev/online', { headers: { authorization: `Bearer ${token}` } });
    }
    const { users } = await response.json();
    if (box === asked) showPeople(users.filter((user) => user.userId !== me));
  } catch {
    // The connection indicator already shows that the server is unreachable.
  }
  if (box && box === asked) poll = setTimeout(refreshPeople, 2000);
}

/** Updates only what has changed, so that the focus is preserved. */
function showPeople(users) {
  users.sort((a, b) => a.userId.localeCompare(b.userId));
  const here = new Set(users.map((user) => user.userId));
  for (const [id, row] of people) {
    if (here.has(id)) continue;
    row.remove();
    people.delete(id);
  }
  users.forEach((user, index) => {
    let row = people.get(user.userId);
    if (!row) {
      row = personRow(user);
      people.set(user.userId, row);
      $('people').insertBefore(row, $('people').children[index] ?? null);
    }
    const count = Array.isArray(user.devices) ? user.devices.length : user.devices ?? 1;
    const text = count === 1 ? 'Online' : `Online on ${count} devices`;
    const note = row.querySelector('small');
    if (note.textContent !== text) note.textContent = text;
  });
  $('people-count').textContent = users.length;
  $('people-empty').hidden = users.length > 0;
}

function personRow({ userId, name }) {
  const shown = name || userId;
  const row = document.createElement('li');
  row.dataset.user = userId;
  const avatar = document.createElement('span');
  avatar.className = 'avatar';
  avatar.setAttribute('aria-hidden', 'true');
  paintAvatar(avatar, shown);
  const who = document.createElement('span');
  who.className = 'who';
  const bold = document.createElement('b');
  bold.textContent = shown;
  who.append(bold, document.createElement('small'));
  const button = (type, label, glyph) => {
    const element = document.createElement('button');
    element.type = 'button';
    element.className = 'button square';
    element.dataset.action = `call-${type}`;
    element.title = label;
    element.setAttribute('aria-label', `${label} to ${shown}`);
    element.append(icon(glyph));
    element.onclick = () => startCall(userId, type, shown);
    return element;
  };
  row.append(avatar, who, button('audio', 'Audio call', 'phone'), button('video', 'Video call', 'video'));
  return row;
}

function showServers(iceServers = []) {
  const list = iceServers.flatMap(({ urls }) => urls).map((url) => {
    const [scheme] = url.split(':');
    return [scheme.toUpperCase(), url];
  });
  $('servers').replaceChildren(...list.map(([kind, url]) => {
    const row = document.createElement('div');
    const dt = document.createElement('dt');
    dt.textContent = { STUN: 'STUN – what is my address?', TURN: 'TURN – relay for me' }[kind] ?? kind;
    const dd = document.createElement('dd');
    dd.textContent = url;
    row.append(dt, dd);
    return row;
  }));
}

// -- Calls --

function listen() {
  box.on('state', (state, error) => {
    if (state !== 'closed') return connectionChanged(state);
    if (!error) return;
    signOut();
    notice('error', error.message);
  });
  box.on('session:welcome', ({ iceServers }) => {
    showServers(iceServers);
    refreshPeople();
  });
  box.on('incoming', ring);
  box.on('error', ({ error }) => notice('warn', error.message, 8000));
}

function options(type) {
  return { video: type === 'video', rtcConfig: { iceTransportPolicy: $('relay-only').checked ? 'relay' : 'all' } };
}

// Failures of `start` and `accept` also end the call, and are reported by its `ended` event.

function startCall(peer, type, name = peer) {
  if (!box || call || incoming) return;
  const next = box.createCall(peer, options(type));
  next.peerName = name;
  begin(next);
  next.start().catch(() => {});
}

function ring(next) {
  if (call || incoming) return next.reject('busy');
  incoming = next;
  paintAvatar($('incoming-avatar'), incoming.peerName);
  $('incoming-name').textContent = incoming.peerName;
  $('incoming-text').textContent = incoming.type === 'video' ? 'wants to talk, with video' : 'wants to talk';
  $('incoming').dataset.caller = incoming.peer;
  $('incoming').dataset.type = incoming.type;
  $('incoming').showModal();
  title();
  tone.start('incoming');
  next.on('ended', (end) => {
    if (incoming !== next) return;
    closeIncoming();
    summary(next, end);
  });
}

function closeIncoming() {
  tone.stop();
  const it = incoming;
  incoming = null;
  $('incoming').close();
  title();
  return it;
}

function declineIncoming() {
  if (incoming) closeIncoming().reject();
}

function answerIncoming() {
  if (!incoming) return;
  const next = closeIncoming();
  begin(next);
  next.accept(options(next.type)).catch(() => {});
}

function begin(next) {
  call = next;
  quiet();
  $('last-call').hidden = true;
  $('peer-name').textContent = call.peerName;
  $('route-peer').textContent = call.peerName.length > 12 ? `${call.peerName.slice(0, 11)}…` : call.peerName;
  paintAvatar($('peer-avatar'), call.peerName);
  for (const name of ['path', 'rtt', 'candidates', 'transport', 'bitrate-out', 'bitrate-in', 'picture', 'frames-decoded', 'lost', 'call-id']) {
    metric(name).textContent = '–';
    delete metric(name).dataset.value;
  }
  Object.assign($('view-call').dataset, { path: '', type: call.type, picture: 'off' });
  $('spark-line').setAttribute('points', '');
  $('spark-max').textContent = '';
  $('timer').textContent = '0:00';
  const history = { rtt: [], frames: -1, stalled: 0 };

  next.on('state', showCall);
  next.on('media', showCall);
  next.on('localstream', (stream, missing) => {
    showCall();
    if (missing.length) notice('warn', withoutDevices(missing, next.type), 8000);
  });
  next.on('stream', playRemote);
  next.on('stats', (reading) => showReading(reading, history));
  next.on('peer', (connected) => {
    if (connected) quiet();
    else if (next.connectedAt) notice('warn', `${next.peerName} has lost the connection. Waiting for them to come back…`);
  });
  next.on('upgrade', askForVideo);
  next.on('upgraded', ({ type }) => {
    $('view-call').dataset.type = type;
    showCall();
  });
  next.on('ended', (end) => endCall(next, end));
  showCall();
  show('call');
  title();
  if (next.direction === 'outgoing') tone.start('outgoing');

  clock = setInterval(() => {
    if (next.connectedAt) $('timer').textContent = duration((Date.now() - next.connectedAt) / 1000);
  }, 1000);
}

/** Returns a notice about devices that could not be opened. */
function withoutDevices(missing, type) {
  if (type === 'audio' || missing.length === 2) return 'No microphone could be opened: you will hear the other side, but they will not hear you.';
  if (missing.includes('video')) return 'No camera could be opened: the other side will only hear you.';
  return 'No microphone could be opened: the other side will only see you.';
}

// -- Upgrade from audio to video --

async function upgrade() {
  const asking = call;
  $('upgrade').disabled = true;
  notice('plain', `${asking.peerName} is asked whether they want video…`);
  try {
    if (await asking.upgrade('video')) quiet();
    else if (call === asking) notice('warn', `${asking.peerName} would rather go on without video.`, 6000);
  } catch (error) {
    notice('warn', error.message, 8000);
  }
  $('upgrade').disabled = false;
}

function askForVideo(ask) {
  $('ask-title').textContent = `${call.peerName} asks for video`;
  $('ask').returnValue = '';
  $('ask').showModal();
  $('ask').onclose = async () => {
    if (!call) return;
    if ($('ask').returnValue !== 'yes') return ask.reject();
    try {
      await ask.accept();
    } catch (error) {
      ask.reject();
      notice('warn', error.message, 8000);
    }
  };
}

function showCall() {
  const view = $('view-call').dataset;
  const became = view.state !== call.state;
  view.state = call.state;
  if (call.state !== 'initiating' && call.state !== 'ringing') tone.stop();
  $('state').textContent = call.state;
  metric('call-id').textContent = call.id ?? '–';
  const [microphone, camera] = ['audio', 'video'].map((kind) => call.localStream?.getTracks().some((track) => track.kind === kind));
  view.camera = camera ? (call.cameraOff ? 'off' : 'on') : 'none';
  $('camera').hidden = call.type !== 'video';
  $('camera').disabled = !camera;
  $('upgrade').hidden = call.type !== 'audio' || call.state !== 'connected';
  $('mic').disabled = !microphone;
  toggleButton($('mic'), call.muted && microphone, 'Unmute microphone', 'Mute microphone', 'M');
  toggleButton($('camera'), call.cameraOff && camera, 'Turn camera on', 'Turn camera off', 'V');
  if ($('local-video').srcObject !== call.localStream) $('local-video').srcObject = call.localStream;

  const steps = ['initiating', 'ringing', 'connecting', 'connected'];
  const at = steps.indexOf(call.state === 'reconnecting' ? 'connected' : call.state);
  for (const [index, step] of [...$('steps').children].entries()) {
    step.toggleAttribute('data-done', index <= at);
    if (index === at) step.setAttribute('aria-current', 'step');
    else step.removeAttribute('aria-current');
  }
  standIn();
  if (!became) return;
  const spoken = {
    initiating: `Calling ${call.peerName}`,
    ringing: `Ringing at ${call.peerName}`,
    connecting: 'Connecting',
    connected: `Connected to ${call.peerName}`,
    reconnecting: 'The media was interrupted, reconnecting',
  }[call.state];
  if (spoken) say(spoken);
}

function standIn() {
  const text = {
    initiating: call.localStream ? 'Calling…' : 'Waiting for your camera and microphone…',
    ringing: 'Ringing…',
    connecting: 'Connecting…',
    connected: call.type === 'audio' ? 'Audio call' : call.remoteMedia.video ? 'No picture from the other side' : 'Their camera is off',
    reconnecting: 'The media was interrupted. Reconnecting…',
  }[call.state];
  $('stand-in-text').textContent = call.type === 'audio' && call.state === 'initiating' && !call.localStream ? 'Waiting for your microphone…' : text ?? '';
}

function toggleButton(button, pressed, whenPressed, whenNot, key) {
  button.setAttribute('aria-pressed', pressed);
  // The label contains the state; `aria-pressed` in addition would announce it twice.
  button.setAttribute('aria-label', pressed ? whenPressed : whenNot);
  button.title = `${pressed ? whenPressed : whenNot} (${key})`;
}

async function playRemote(stream) {
  const video = $('remote-video');
  if (video.srcObject !== stream) video.srcObject = stream;
  try {
    await video.play();
  } catch (error) {
    // The browser plays no sound before a click on this page.
    if (error.name === 'NotAllowedError') $('unblock').hidden = false;
  }
}

function showReading(reading, history) {
  const view = $('view-call').dataset;
  view.path = reading.relayed ? 'relayed' : 'direct';
  const put = (name, text, value = text) => {
    const element = metric(name);
    if (element.textContent !== text) element.textContent = text;
    element.dataset.value = value;
  };
  put('path', view.path);
  if (reading.rttMs !== null) {
    put('rtt', reading.rttMs < 1 ? '< 1 ms' : `${Math.round(reading.rttMs)} ms`, reading.rttMs);
    history.rtt = [...history.rtt, reading.rttMs].slice(-60);
    drawSpark(history.rtt);
  }
  put('candidates', `${reading.path ?? '?'} ↔ ${reading.remotePath ?? '?'}`);
  put('transport', `${(reading.protocol ?? '').toUpperCase()}, encrypted`);
  if (reading.bitrateOut !== null) put('bitrate-out', bitrate(reading.bitrateOut));
  if (reading.bitrateIn !== null) put('bitrate-in', bitrate(reading.bitrateIn));
  put('lost', String(reading.packetsLost));
  if (reading.framesDecoded !== null) {
    put('frames-decoded', reading.framesDecoded.toLocaleString('en'), reading.framesDecoded);
    if (reading.frameWidth) {
      const parts = [`${reading.frameWidth} × ${reading.frameHeight}`];
      if (reading.framesPerSecond) parts.push(`${Math.round(reading.framesPerSecond)} fps`);
      if (reading.codec) parts.push(reading.codec);
      put('picture', parts.join(' · '));
    }
    // After three seconds without a new frame the placeholder is shown: the camera is off, or the
    // network gone.
    history.stalled = reading.framesDecoded > history.frames ? 0 : history.stalled + 1;
    history.frames = reading.framesDecoded;
    const picture = reading.framesDecoded > 0 && history.stalled < 3 ? 'on' : 'off';
    if (view.picture !== picture) {
      view.picture = picture;
      standIn();
    }
  }
}

function drawSpark(values) {
  const top = Math.max(2, ...values) * 1.15;
  const points = values.map((value, index) => {
    const x = 120 - (values.length - 1 - index) * (120 / 59);
    return `${x.toFixed(1)},${(33 - (value / top) * 31).toFixed(1)}`;
  });
  $('spark-line').setAttribute('points', points.join(' '));
  $('spark-max').textContent = `at most ${Math.max(1, Math.ceil(Math.max(...values)))} ms`;
}

function bitrate(bits) {
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bits / 1000)} kbit/s`;
}

function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value) => String(value).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function endCall(ended, end) {
  if (call !== ended) return;
  call = null;
  clearInterval(clock);
  tone.stop();
  $('ask').close();
  for (const id of ['remote-video', 'local-video']) $(id).srcObject = null;
  $('unblock').hidden = true;
  $('view-call').dataset.state = 'ended';
  show('lobby');
  title();
  summary(ended, end, $('view-call').dataset.path);
  // While the server is unreachable, the notice describes a call in progress; without the call it
  // is replaced.
  if (!$('notice').hidden && $('connection').dataset.state === 'offline') connectionChanged('reconnecting');
  refreshPeople();
}

/** Returns a sentence about the end of a call, shown above the list of users. */
function summary({ peerName: name, direction, connectedAt }, { reason, endedBy, error }, path = '') {
  const outgoing = direction === 'outgoing';
  const byMe = endedBy === me;
  // The client sets an error if it lost the server itself, rather than the other side.
  if (reason === 'connection_lost' && error) reason = 'server_lost';
  const relayOnly = $('relay-only').checked;
  const said = {
    hangup: [byMe ? `You ended the call with ${name}` : `${name} ended the call`],
    rejected: byMe ? [`You declined ${name}’s call`] : [`${name} declined`, 'Try again later.'],
    busy: outgoing ? [`${name} is busy`, 'They are in another call. Try again in a moment.'] : [`${name} called while you were busy`],
    offline: [`${name} is not online`, 'Nobody is signed in under this name right now.'],
    timeout: outgoing ? [`${name} did not answer`, 'It rang until the ring time was over.'] : [`You missed a call from ${name}`],
    cancelled: byMe ? ['You cancelled the call'] : [`You missed a call from ${name}`, 'They hung up before you answered.'],
    answered_elsewhere: ['Answered on another device'],
    rejected_elsewhere: ['Declined on another device'],
    ice_failed: [`No way through to ${name}`, relayOnly ? 'The relay could not be reached, or the other side could not. Try again without “Relay only”.' : 'Neither a direct path nor the relay worked. Is a firewall in the way of UDP?'],
    connection_lost: [`The connection to ${name} was lost`, 'One of you has lost the network, or closed the page.'],
    server_lost: ['The connection to the server was lost', error?.code === 'connection_lost' ? 'The server has stopped, or this device has lost the network.' : 'The call was gone when it came back: the server was restarted, or this page was away for too long.'],
    server_shutdown: ['The server is shutting down', 'It ended all calls.'],
    server_crashed: ['The server has crashed', 'Nobody came back to the call in time.'],
    kicked: ['The call was ended by an administrator'],
    credentials_revoked: ['The relay credentials were withdrawn', 'The server ended the call.'],
    unauthorized: [`You may not call ${name}`],
    error: [error?.code === 'connection_lost' ? 'The server did not answer' : 'The call could not be made', error?.message],
  }[reason] ?? [`The call with ${name} has ended`, reason];
  const facts = connectedAt ? [duration((Date.now() - connectedAt) / 1000), path].filter(Boolean).join(' · ') : '';
  $('last-call').dataset.reason = reason;
  $('last-call').dataset.tone = ['hangup', 'cancelled', 'answered_elsewhere', 'rejected_elsewhere'].includes(reason) || byMe && reason === 'rejected' ? 'plain' : 'bad';
  $('last-call-title').textContent = said[0];
  $('last-call-text').textContent = [facts, said[1]].filter(Boolean).join(' – ');
  $('last-call').hidden = false;
}

// -- Ring tone --

/** Two short notes, repeated; silent until the page has had a user gesture. */
const tone = {
  context: null,
  timer: 0,
  start(kind) {
    this.stop();
    if (!navigator.userActivation?.hasBeenActive) return;
    this.context ??= new AudioContext();
    const notes = kind === 'incoming' ? [659, 784] : [440, 440];
    const play = () => notes.forEach((pitch, index) => {
      const at = this.context.currentTime + index * 0.24;
      const oscillator = new OscillatorNode(this.context, { frequency: pitch });
      const gain = new GainNode(this.context, { gain: 0 });
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(kind === 'incoming' ? 0.09 : 0.035, at + 0.02);
      gain.gain.exponentialRampToValueAtTime(0.0005, at + 0.22);
      oscillator.connect(gain).connect(this.context.destination);
      oscillator.start(at);
      oscillator.stop(at + 0.24);
    });
    play();
    this.timer = setInterval(play, kind === 'incoming' ? 1800 : 3000);
  },
  stop() {
    clearInterval(this.timer);
  },
};

// -- Event handlers of the page --

$('sign-in-form').onsubmit = (event) => {
  event.preventDefault();
  signIn($('name').value);
};
$('dial').onsubmit = (event) => {
  event.preventDefault();
  const peer = $('dial-name').value.trim();
  if (!peer) return;
  if (peer === me) return notice('warn', 'That is you. Sign in under another name in a second tab.', 6000);
  $('dial-name').value = '';
  startCall(peer, event.submitter?.value === 'audio' ? 'audio' : 'video');
};
$('sign-out').onclick = signOut;
$('notice-close').onclick = quiet;
$('last-call-close').onclick = () => { $('last-call').hidden = true; };
$('relay-only').onchange = remember;
$('answer').onclick = answerIncoming;
$('decline').onclick = declineIncoming;
// Escape must not close the card: the caller would continue to ring without a ring tone here.
$('incoming').addEventListener('cancel', (event) => event.preventDefault());
$('mic').onclick = () => {
  call?.mute(!call.muted);
  showCall();
};
$('camera').onclick = () => {
  call?.setCamera(call.cameraOff);
  showCall();
};
$('upgrade').onclick = upgrade;
$('hang-up').onclick = () => call?.hangUp();
$('unblock').onclick = () => {
  $('unblock').hidden = true;
  $('remote-video').play().catch(() => {});
};
addEventListener('keydown', (event) => {
  if (!call || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === 'm') $('mic').click();
  if (event.key === 'v') $('camera').click();
});

$('relay-only').checked = query.get('relay') === '1';
if (query.get('as')) signIn(query.get('as'));
else show('sign-in');
