import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** java Wallet.java URL TOKEN: asks three times with the JDK's client as it is, which offers HTTP/2 with each request. */
public class Wallet {
  public static void main(String[] arguments) throws Exception {
    String query = "{ customer(id: \\\"cus_alex\\\") { name } }";
    String padding = " ".repeat(20_000); // more than one packet
    HttpClient client = HttpClient.newHttpClient();
    for (String body : new String[] {query, query + padding, query}) {
      HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
          .header("content-type", "application/json")
          .header("authorization", "Bearer " + arguments[1])
          .POST(BodyPublishers.ofString("{\"query\": \"" + body + "\"}"))
          .build();
      var reply = client.send(request, BodyHandlers.ofString());
      System.out.println(reply.statusCode() + " " + reply.version() + " " + reply.body());
    }
  }
}
