import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;

/** Reads files as base64 lines, answers each with what java.util.Properties made of it: `key=value` in base64 of UTF-16, comma between, or `refused`. */
public class ReadProperties {
  static String encoded(String text) {
    return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_16LE));
  }

  public static void main(String[] args) throws IOException {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Properties properties = new Properties();
      try {
        properties.load(new ByteArrayInputStream(Base64.getDecoder().decode(line)));
      } catch (IllegalArgumentException bad) {
        System.out.println("refused");
        continue;
      }
      List<String> pairs = new ArrayList<>();
      for (String key : properties.stringPropertyNames()) pairs.add(encoded(key) + "=" + encoded(properties.getProperty(key)));
      Collections.sort(pairs);
      System.out.println(String.join(",", pairs));
    }
  }
}
