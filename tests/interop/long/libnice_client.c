/* Two agents of libnice, each with a relayed candidate only: one sends numbered packets, the other
 * echoes them.
 *
 * Arguments: HOST PORT TRANSPORT SECONDS MILLISECONDS (between packets). Prints a line of JSON. */

#include <nice/agent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct end {
  NiceAgent *agent;
  guint stream;
  GHashTable *seen;
  gboolean ready;
};

static struct end client, peer;
static GMainLoop *loop;
static gint64 ends; /* time of the last packet, in microseconds; 0 before the connection is up */
static gint64 seconds;
static guint pause_ms, sent, gathered;

static void fail(const char *why) {
  fprintf(stderr, "libnice: %s\n", why);
  exit(1);
}

static void send_from(struct end *end, guint len, const gchar *bytes) {
  if (nice_agent_send(end->agent, end->stream, 1, len, bytes) != (gint)len) fail("a packet is not taken");
}

static gboolean quit(gpointer data) {
  (void)data;
  g_main_loop_quit(loop);
  return G_SOURCE_REMOVE;
}

static void received(NiceAgent *agent, guint stream, guint component, guint len, gchar *bytes, gpointer data) {
  struct end *end = data;
  gchar *packet = g_strndup(bytes, len);
  (void)agent, (void)stream, (void)component;
  if (end == &peer) {
    send_from(&peer, len, bytes);
  } else if (g_get_monotonic_time() >= ends && (guint)atoi(packet) + 1 == sent) {
    g_main_loop_quit(loop);
  }
  g_hash_table_add(end->seen, packet);
}

static gboolean send_one(gpointer data) {
  gchar text[16];
  guint len = g_snprintf(text, sizeof text, "%u", sent);
  (void)data;
  sent++;
  send_from(&client, len, text);
  if (g_get_monotonic_time() < ends) return G_SOURCE_CONTINUE;
  g_timeout_add_seconds(5, quit, NULL);
  return G_SOURCE_REMOVE;
}

static gboolean too_late(gpointer data) {
  (void)data;
  if (ends == 0) fail("there is no connection after a minute");
  return G_SOURCE_REMOVE;
}

static void changed(NiceAgent *agent, guint stream, guint component, guint state, gpointer data) {
  struct end *end = data;
  (void)agent, (void)stream, (void)component;
  if (state == NICE_COMPONENT_STATE_FAILED) fail("a connection failed");
  if (state == NICE_COMPONENT_STATE_READY) end->ready = TRUE;
  if (client.ready && peer.ready && ends == 0) {
    ends = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    g_timeout_add(pause_ms, send_one, NULL);
  }
}

/* Passes the credentials and candidates of one agent to the other. */
static void learn(struct end *end, struct end *other) {
  gchar *ufrag = NULL, *password = NULL;
  GSList *candidates = nice_agent_get_local_candidates(other->agent, other->stream, 1);
  if (candidates == NULL) fail("the relay gave no candidate");
  nice_agent_get_local_credentials(other->agent, other->stream, &ufrag, &password);
  nice_agent_set_remote_credentials(end->agent, end->stream, ufrag, password);
  nice_agent_set_remote_candidates(end->agent, end->stream, 1, candidates);
}

static void gathering_done(NiceAgent *agent, guint stream, gpointer data) {
  (void)agent, (void)stream, (void)data;
  if (++gathered == 2) {
    learn(&client, &peer);
    learn(&peer, &client);
  }
}

static void start(struct end *end, gboolean controls, char **args) {
  NiceRelayType type = strcmp(args[3], "tcp") == 0 ? NICE_RELAY_TYPE_TURN_TCP : NICE_RELAY_TYPE_TURN_UDP;
  NiceAddress local;
  end->agent = nice_agent_new(g_main_loop_get_context(loop), NICE_COMPATIBILITY_RFC5245);
  end->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_object_set(end->agent, "controlling-mode", controls, "force-relay", TRUE, "upnp", FALSE, "ice-tcp", FALSE, NULL);
  g_signal_connect(end->agent, "candidate-gathering-done", G_CALLBACK(gathering_done), end);
  g_signal_connect(end->agent, "component-state-changed", G_CALLBACK(changed), end);
  nice_address_init(&local);
  nice_address_set_from_string(&local, "127.0.0.1");
  nice_agent_add_local_address(end->agent, &local);
  end->stream = nice_agent_add_stream(end->agent, 1);
  nice_agent_set_relay_info(end->agent, end->stream, 1, args[1], atoi(args[2]), "user", "pass", type);
  nice_agent_attach_recv(end->agent, end->stream, 1, g_main_loop_get_context(loop), received, end);
}

int main(int count, char **args) {
  if (count != 6) fail("the first lines of the source name its arguments");
  seconds = atoi(args[4]);
  pause_ms = atoi(args[5]);
  loop = g_main_loop_new(NULL, FALSE);
  start(&client, TRUE, args);
  start(&peer, FALSE, args);
  if (!nice_agent_gather_candidates(client.agent, client.stream) ||
      !nice_agent_gather_candidates(peer.agent, peer.stream))
    fail("nothing can be gathered");
  g_timeout_add_seconds(60, too_late, NULL);
  g_main_loop_run(loop);
  printf("{\"sent\":%u,\"to_peer\":%u,\"back\":%u}\n", sent, g_hash_table_size(peer.seen),
         g_hash_table_size(client.seen));
  return 0;
}
